//! The VMs of one worker: which plugin lives in which, what happens when one dies, and what guests have asked for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use crate::abi::LogLevel;
use crate::config::Plugin;
use crate::property::PluginNames;
use crate::traffic::View;
use crate::vm::host::{Call, CallReply, PluginText, Request, Services, Wake};
use crate::vm::{Bounds, Trap, Vm};

/// How soon after a VM was loaded it may be loaded again, as Envoy's `FAIL_RELOAD` has it. Until then its requests
/// are refused.
const RELOAD_BACK_OFF: Duration = Duration::from_secs(1);

/// Who makes the calls of guests.
pub trait Clusters {
    /// Whether a cluster has a filter in the VM of a plugin. Envoy starts that filter within the callback that makes a
    /// call, and a guest is not made to be entered twice: what comes of it is the end of the VM (H14).
    fn reenters(&self, cluster: &str, plugin: &Plugin) -> bool;

    /// Makes a call. `None` is one that failed without an answer.
    fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Option<CallReply>>>>;
}

/// All VMs of a worker.
pub struct Vms {
    services: Arc<Services>,
    bounds: Bounds,
    wake: UnboundedSender<Wake>,
    slots: RefCell<Vec<Slot>>,
    clusters: RefCell<Option<Weak<dyn Clusters>>>,
}

/// The place of a VM.
struct Slot {
    first: Arc<Plugin>,
    vm: Option<Rc<LiveVm>>,
    loaded: Instant,
    serial: u64,
}

/// A VM that plugins and streams hold on to, alive or dead.
pub struct LiveVm {
    vm: RefCell<Vm>,
    roots: RefCell<HashMap<*const Plugin, u32>>,
    ticks: RefCell<HashMap<u32, AbortHandle>>,
    /// By context and token.
    calls: RefCell<HashMap<(u32, u32), AbortHandle>>,
    services: Arc<Services>,
    plugin: Arc<Plugin>,
    clusters: Option<Weak<dyn Clusters>>,
    itself: Weak<LiveVm>,
}

impl Vms {
    /// No VMs yet.
    pub fn new(services: Arc<Services>, bounds: Bounds, wake: UnboundedSender<Wake>) -> Vms {
        Vms { services, bounds, wake, slots: RefCell::default(), clusters: RefCell::default() }
    }

    /// Says who makes the calls of guests.
    pub fn call_by(&self, clusters: Weak<dyn Clusters>) {
        *self.clusters.borrow_mut() = Some(clusters);
    }

    /// A context for a plugin on a new stream, in a living VM.
    ///
    /// # Errors
    /// The VM has died and may not be loaded again yet, or does not load.
    pub fn open(&self, plugin: &Arc<Plugin>, view: Rc<View>) -> Result<(Rc<LiveVm>, u32), Trap> {
        let vm = self.living(plugin)?;
        let root = vm.root(plugin)?;
        let context = vm.call(|vm| vm.start_stream(root, view))?;
        Ok((vm, context))
    }

    /// Starts a plugin before the first stream needs it.
    ///
    /// # Errors
    /// It does not load, or refuses its configuration.
    pub fn start(&self, plugin: &Arc<Plugin>) -> Result<(), Trap> {
        self.living(plugin)?.root(plugin).map(drop)
    }

    /// Tells a root context that its queue has something in it.
    pub fn wake(&self, wake: &Wake) {
        let slots = self.slots.borrow();
        let vm = slots.iter().find(|slot| slot.serial == wake.vm).and_then(|slot| slot.vm.clone());
        drop(slots);
        if let Some(vm) = vm {
            // A guest that dies of it is replaced by the next stream.
            let _ = vm.call(|vm| vm.on_queue_ready(wake.root, wake.queue));
        }
    }

    fn living(&self, plugin: &Arc<Plugin>) -> Result<Rc<LiveVm>, Trap> {
        let mut slots = self.slots.borrow_mut();
        let serial = slots.len() as u64 + 1;
        let at = slots.iter().position(|slot| shares(&slot.first, plugin));
        let at = at.unwrap_or_else(|| {
            slots.push(Slot { first: Arc::clone(plugin), vm: None, loaded: Instant::now(), serial });
            slots.len() - 1
        });
        let Some(slot) = slots.get_mut(at) else { return Err(Trap("no such VM".into())) };
        match &slot.vm {
            Some(vm) if !vm.vm.borrow().is_dead() => return Ok(Rc::clone(vm)),
            Some(_) if slot.loaded.elapsed() < RELOAD_BACK_OFF => {
                return Err(Trap("the VM has died, and it is too early to load it again".into()));
            }
            Some(_) | None => {}
        }
        slot.loaded = Instant::now();
        let (services, wake) = (Arc::clone(&self.services), self.wake.clone());
        let vm = Vm::new(&plugin.module, self.bounds, services, plugin.env.clone(), wake, slot.serial)?;
        let vm = Rc::new_cyclic(|itself| LiveVm {
            vm: RefCell::new(vm),
            roots: RefCell::default(),
            ticks: RefCell::default(),
            calls: RefCell::default(),
            services: Arc::clone(&self.services),
            plugin: Arc::clone(plugin),
            clusters: self.clusters.borrow().clone(),
            itself: Weak::clone(itself),
        });
        slot.vm = Some(Rc::clone(&vm));
        Ok(vm)
    }
}

impl LiveVm {
    /// Runs the guest, then does what it has asked for.
    ///
    /// # Errors
    /// The guest's trap, which is logged.
    pub fn call<T>(&self, run: impl FnOnce(&mut Vm) -> Result<T, Trap>) -> Result<T, Trap> {
        let (mut result, requests) = {
            let mut vm = self.vm.borrow_mut();
            let died_before = vm.is_dead();
            let result = run(&mut vm);
            if let (Err(Trap(why)), false) = (&result, died_before) {
                (self.services.log)(LogLevel::Critical, &format!("a guest has died: {why}"));
            }
            (result, vm.take_requests())
        };
        for request in requests {
            match request {
                Request::Call(call) => {
                    if let Err(trap) = self.start_call(call) {
                        result = Err(trap);
                    }
                }
                Request::Tick(root, period) => self.set_tick(root, period),
            }
        }
        result
    }

    /// Ends a stream's context. Calls that it waits for are given up.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn end_stream(&self, context: u32) -> Result<(), Trap> {
        self.call(|vm| vm.end_stream(context))
    }

    /// Breaks off the calls of a stream that is over. One that the guest makes after that is made, and nobody hears of its
    /// answer.
    pub fn forget_calls(&self, context: u32) {
        self.calls.borrow_mut().retain(|(of, _), call| {
            if *of == context {
                call.abort();
            }
            *of != context
        });
    }

    fn root(&self, plugin: &Arc<Plugin>) -> Result<u32, Trap> {
        let key = Arc::as_ptr(plugin);
        if let Some(root) = self.roots.borrow().get(&key) {
            return Ok(*root);
        }
        let names = PluginNames {
            name: plugin.name.clone(),
            root_id: plugin.root_id.clone(),
            vm_id: plugin.vm_id.clone(),
        };
        let text = PluginText {
            names,
            configuration: plugin.configuration.clone(),
            vm_configuration: plugin.vm_configuration.clone(),
        };
        let root = self.call(|vm| vm.start_plugin(text))?;
        self.roots.borrow_mut().insert(key, root);
        Ok(root)
    }

    fn start_call(&self, call: Call) -> Result<(), Trap> {
        let Some(clusters) = self.clusters.as_ref().and_then(Weak::upgrade) else { return Ok(()) };
        let (context, token) = (call.context, call.token);
        if clusters.reenters(&call.cluster, &self.plugin) {
            return self.call(|vm| vm.kill("it calls a cluster that has a filter in its own VM"));
        }
        let itself = Weak::clone(&self.itself);
        let task = tokio::task::spawn_local(async move {
            let reply = clusters.call(call).await;
            if let Some(vm) = itself.upgrade() {
                vm.calls.borrow_mut().remove(&(context, token));
                // A guest that dies of it is replaced by the next stream.
                let _ = vm.call(|vm| vm.on_call_response(context, token, reply));
            }
        });
        self.calls.borrow_mut().insert((context, token), task.abort_handle());
        Ok(())
    }

    fn set_tick(&self, root: u32, period: Duration) {
        if let Some(old) = self.ticks.borrow_mut().remove(&root) {
            old.abort();
        }
        if period.is_zero() {
            return;
        }
        let itself = Weak::clone(&self.itself);
        let task = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(period).await;
                let Some(vm) = itself.upgrade() else { return };
                if vm.call(|vm| vm.on_tick(root)).is_err() {
                    return;
                }
            }
        });
        self.ticks.borrow_mut().insert(root, task.abort_handle());
    }
}

impl Drop for LiveVm {
    fn drop(&mut self) {
        for tick in self.ticks.borrow().values() {
            tick.abort();
        }
    }
}

/// Whether two plugins live in one VM.
pub fn shares(one: &Plugin, other: &Plugin) -> bool {
    one.vm_id == other.vm_id
        && one.module == other.module
        && one.vm_configuration == other.vm_configuration
        && one.env == other.env
}
