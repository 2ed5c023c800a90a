//! One WebAssembly VM: a module with memory of its own, bounded in memory and time. A VM that has trapped is dead.

mod guest;
pub mod host;
mod link;
mod wasi;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use wasmtime::{
    Config, Engine, Instance, Linker, Store, StoreLimitsBuilder, TypedFunc, WasmParams, WasmResults,
};

use crate::traffic::View;
use host::{CallReply, Context, Host, PluginText, Request, Services, Wake};

/// How often the clock that bounds a guest's time advances.
const TICK: Duration = Duration::from_millis(10);

/// A compiled module.
#[derive(Clone)]
pub struct Module {
    module: wasmtime::Module,
}

/// What a guest may use.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Its memory, in bytes. Envoy's is 1 GiB.
    pub memory: usize,
    /// The time of one callback. Envoy has no bound: there, an endless loop hangs the worker.
    pub callback: Duration,
}

/// The guest has died.
#[derive(Debug)]
pub struct Trap(pub String);

/// A living or a dead VM.
pub struct Vm {
    store: Store<Host>,
    instance: Instance,
    bounds: Bounds,
    dead: bool,
    last_context: u32,
    functions: HashMap<&'static str, Option<wasmtime::Func>>,
}

/// What the guest wants done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    Continue,
    /// It stays.
    Pause,
}

impl Module {
    /// Compiles a module.
    ///
    /// # Errors
    /// A sentence that says why it is none that this host can run.
    pub fn compile(wasm: &[u8]) -> Result<Module, String> {
        let module = wasmtime::Module::new(engine()?, wasm).map_err(|error| format!("{error:#}"))?;
        let speaks = |name: &str| module.get_export(name).is_some();
        if !speaks("proxy_abi_version_0_2_1") && !speaks("proxy_abi_version_0_2_0") {
            return Err("the module does not export `proxy_abi_version_0_2_1` (or `…_0_2_0`)".into());
        }
        Ok(Module { module })
    }

    /// The names of what the module imports, as `module.name`, in order.
    pub fn imports(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.module.imports().map(|it| format!("{}.{}", it.module(), it.name())).collect();
        names.sort();
        names
    }
}

impl PartialEq for Module {
    fn eq(&self, other: &Module) -> bool {
        wasmtime::Module::same(&self.module, &other.module)
    }
}

impl Vm {
    /// A VM whose module has been initialised.
    ///
    /// # Errors
    /// An import that is missing, or a trap on the way.
    pub fn new(
        module: &Module,
        bounds: Bounds,
        services: Arc<Services>,
        env: Vec<(String, String)>,
        wake: UnboundedSender<Wake>,
        serial: u64,
    ) -> Result<Vm, Trap> {
        let engine = module.module.engine();
        let mut linker = Linker::new(engine);
        link::link(&mut linker).and_then(|()| wasi::link(&mut linker)).map_err(trap)?;
        let host = Host {
            limits: StoreLimitsBuilder::new().memory_size(bounds.memory).build(),
            services,
            env,
            contexts: HashMap::new(),
            effective: 0,
            call_reply: None,
            requests: Vec::new(),
            wake,
            serial,
            last_token: 0,
        };
        let mut store = Store::new(engine, host);
        store.limiter(|host| &mut host.limits);
        store.set_epoch_deadline(deadline(bounds.callback));
        let instance = linker.instantiate(&mut store, &module.module).map_err(trap)?;
        let mut vm = Vm { store, instance, bounds, dead: false, last_context: 0, functions: HashMap::new() };
        // Reactors have `_initialize`; older toolchains make a `_start` of it.
        for start in ["_initialize", "_start"] {
            if vm.function(start).is_some() {
                vm.call::<(), ()>(start, ())?;
                break;
            }
        }
        Ok(vm)
    }

    /// Whether it has trapped.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Ends it.
    ///
    /// # Errors
    /// Always: the trap that it is.
    pub fn kill(&mut self, why: &str) -> Result<(), Trap> {
        self.dead = true;
        Err(Trap(why.to_owned()))
    }

    /// What the guest has asked for since the last time.
    pub fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.store.data_mut().requests)
    }

    /// A root context for a plugin, started and configured.
    ///
    /// # Errors
    /// The guest's refusal, or its trap.
    pub fn start_plugin(&mut self, plugin: PluginText) -> Result<u32, Trap> {
        let (vm_configuration, configuration) = (plugin.vm_configuration.len(), plugin.configuration.len());
        let name = plugin.names.name.clone();
        let root = self.next_context(Context::Root(Rc::new(plugin)));
        self.call_if_there::<(u32, u32), ()>("proxy_on_context_create", root, (root, 0))?;
        let started = self.call_if_there("proxy_on_vm_start", root, (root, vm_configuration as u32))?;
        if started.unwrap_or(1) == 0 {
            return Err(Trap(format!("plugin {name} refuses to start (proxy_on_vm_start)")));
        }
        let configured = self.call_if_there("proxy_on_configure", root, (root, configuration as u32))?;
        if configured.unwrap_or(1) == 0 {
            return Err(Trap(format!("plugin {name} refuses its configuration (proxy_on_configure)")));
        }
        Ok(root)
    }

    /// A stream context for a plugin.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn start_stream(&mut self, root: u32, view: Rc<View>) -> Result<u32, Trap> {
        let plugin = match self.store.data().contexts.get(&root) {
            Some(Context::Root(plugin)) => Rc::clone(plugin),
            Some(Context::Stream { .. }) | None => return Err(Trap("no such root context".into())),
        };
        let context = self.next_context(Context::Stream { plugin, view });
        self.call_if_there::<(u32, u32), ()>("proxy_on_context_create", context, (context, root))?;
        Ok(context)
    }

    /// A callback about headers: how many, and whether nothing follows.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn on_headers(
        &mut self,
        function: &'static str,
        context: u32,
        count: u32,
        end: bool,
    ) -> Result<Action, Trap> {
        self.act(function, context, (context, count, u32::from(end)))
    }

    /// A callback about a body: how many bytes, and whether nothing follows.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn on_body(
        &mut self,
        function: &'static str,
        context: u32,
        bytes: u32,
        end: bool,
    ) -> Result<Action, Trap> {
        self.act(function, context, (context, bytes, u32::from(end)))
    }

    /// A callback about trailers: how many.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn on_trailers(&mut self, function: &'static str, context: u32, count: u32) -> Result<Action, Trap> {
        self.act(function, context, (context, count))
    }

    /// Tells the guest of the answer to a call of its own; `None` if the call has failed without one.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn on_call_response(
        &mut self,
        context: u32,
        token: u32,
        reply: Option<CallReply>,
    ) -> Result<(), Trap> {
        if !self.store.data().contexts.contains_key(&context) {
            return Ok(());
        }
        let size = |length: usize| length as u32;
        let counts = reply.as_ref().map_or((0, 0, 0), |reply| {
            (size(reply.headers.len()), size(reply.body.len()), size(reply.trailers.len()))
        });
        self.store.data_mut().call_reply = reply;
        let arguments = (context, token, counts.0, counts.1, counts.2);
        let called = self.call_if_there::<_, ()>("proxy_on_http_call_response", context, arguments);
        self.store.data_mut().call_reply = None;
        called.map(drop)
    }

    /// A tick of a root context.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn on_tick(&mut self, root: u32) -> Result<(), Trap> {
        self.call_if_there::<u32, ()>("proxy_on_tick", root, root).map(drop)
    }

    /// A queue of a root context has something in it.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn on_queue_ready(&mut self, root: u32, queue: u32) -> Result<(), Trap> {
        self.call_if_there::<_, ()>("proxy_on_queue_ready", root, (root, queue)).map(drop)
    }

    /// The last look of a stream context at its stream.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn on_log(&mut self, context: u32) -> Result<(), Trap> {
        self.call_if_there::<u32, ()>("proxy_on_log", context, context).map(drop)
    }

    /// The end of a stream context: the goodbye, the removal.
    ///
    /// # Errors
    /// The guest's trap.
    pub fn end_stream(&mut self, context: u32) -> Result<(), Trap> {
        self.call_if_there::<u32, u32>("proxy_on_done", context, context)?;
        let ended = self.call_if_there::<u32, ()>("proxy_on_delete", context, context);
        self.store.data_mut().contexts.remove(&context);
        ended.map(drop)
    }

    fn next_context(&mut self, context: Context) -> u32 {
        self.last_context += 1;
        self.store.data_mut().contexts.insert(self.last_context, context);
        self.last_context
    }

    fn act<P: WasmParams>(
        &mut self,
        function: &'static str,
        context: u32,
        arguments: P,
    ) -> Result<Action, Trap> {
        let action: Option<u32> = self.call_if_there(function, context, arguments)?;
        Ok(if action.unwrap_or(0) == 0 { Action::Continue } else { Action::Pause })
    }

    /// Calls an export about a context; `None` if the module does not have it.
    fn call_if_there<P: WasmParams, R: WasmResults>(
        &mut self,
        function: &'static str,
        context: u32,
        arguments: P,
    ) -> Result<Option<R>, Trap> {
        self.store.data_mut().effective = context;
        if self.function(function).is_none() {
            return Ok(None);
        }
        self.call(function, arguments).map(Some)
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &'static str, arguments: P) -> Result<R, Trap> {
        if self.dead {
            return Err(Trap("the VM has died before".into()));
        }
        self.store.set_epoch_deadline(deadline(self.bounds.callback));
        let function: Option<TypedFunc<P, R>> = self.function(name).and_then(|it| it.typed(&self.store).ok());
        let result = match function {
            Some(function) => function.call(&mut self.store, arguments),
            None => Err(wasmtime::Error::msg(format!("`{name}` does not have the ABI's signature"))),
        };
        result.map_err(|error| {
            self.dead = true;
            trap(error)
        })
    }

    fn function(&mut self, name: &'static str) -> Option<wasmtime::Func> {
        if let Some(known) = self.functions.get(name) {
            return *known;
        }
        let function = self.instance.get_func(&mut self.store, name);
        self.functions.insert(name, function);
        function
    }
}

/// The one engine of the process, and the clock that interrupts its guests.
fn engine() -> Result<&'static Engine, String> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    let made = ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config).map_err(|error| format!("{error:#}"))?;
        let clock = engine.clone();
        let tick = move || {
            loop {
                std::thread::sleep(TICK);
                clock.increment_epoch();
            }
        };
        std::thread::Builder::new()
            .name("wasm-clock".into())
            .spawn(tick)
            .map_err(|error| error.to_string())?;
        Ok(engine)
    });
    made.as_ref().map_err(Clone::clone)
}

/// Ticks until a guest is interrupted; one more, because the first may come at once.
fn deadline(time: Duration) -> u64 {
    (time.as_millis() / TICK.as_millis()) as u64 + 1
}

fn trap(error: wasmtime::Error) -> Trap {
    Trap(format!("{error:#}"))
}
