//! The guest's memory, from inside a host function.

use wasmtime::{Caller, Extern, Memory};

use super::host::Host;
use crate::abi::{Answer, Status};

/// Why a host function did not do what it was asked.
#[derive(Debug)]
pub enum Fault {
    /// The guest is told, and goes on.
    Status(Status),
    /// The guest has died while the host asked it for memory.
    Trap(wasmtime::Error),
}

/// The result of a host function.
pub type Called<T = ()> = Result<T, Fault>;

/// The calling guest.
pub struct Guest<'a> {
    caller: Caller<'a, Host>,
    memory: Memory,
}

impl From<Status> for Fault {
    fn from(status: Status) -> Fault {
        Fault::Status(status)
    }
}

impl<'a> Guest<'a> {
    /// The guest behind a call.
    ///
    /// # Errors
    /// [`Status::InternalFailure`] if it has no memory.
    pub fn new(mut caller: Caller<'a, Host>) -> Called<Guest<'a>> {
        match caller.get_export("memory") {
            Some(Extern::Memory(memory)) => Ok(Guest { caller, memory }),
            _ => Err(Status::InternalFailure.into()),
        }
    }

    /// What the host knows of the guest.
    pub fn host(&mut self) -> &mut Host {
        self.caller.data_mut()
    }

    /// A copy of a piece of memory.
    ///
    /// # Errors
    /// [`Status::InvalidMemoryAccess`]
    pub fn bytes(&self, at: u32, len: u32) -> Answer<Vec<u8>> {
        let from = at as usize;
        let piece =
            from.checked_add(len as usize).and_then(|to| self.memory.data(&self.caller).get(from..to));
        piece.map(<[u8]>::to_vec).ok_or(Status::InvalidMemoryAccess)
    }

    /// A text in memory. What is no UTF-8 in it is replaced.
    ///
    /// # Errors
    /// [`Status::InvalidMemoryAccess`]
    pub fn text(&self, at: u32, len: u32) -> Answer<String> {
        Ok(String::from_utf8_lossy(&self.bytes(at, len)?).into_owned())
    }

    /// Writes bytes to an address.
    ///
    /// # Errors
    /// [`Status::InvalidMemoryAccess`]
    pub fn write(&mut self, at: u32, bytes: &[u8]) -> Answer {
        self.memory.write(&mut self.caller, at as usize, bytes).map_err(|_| Status::InvalidMemoryAccess)
    }

    /// Writes a number of four bytes to an address.
    ///
    /// # Errors
    /// [`Status::InvalidMemoryAccess`]
    pub fn write_u32(&mut self, at: u32, number: u32) -> Answer {
        self.write(at, &number.to_le_bytes())
    }

    /// Gives bytes to the guest: into memory that it allocates, whose address and size go to two places.
    ///
    /// # Errors
    /// [`Status::InvalidMemoryAccess`], [`Status::InternalFailure`] if it has no allocator, or its trap.
    pub fn give(&mut self, bytes: &[u8], address: u32, size: u32) -> Called {
        if bytes.is_empty() {
            self.write_u32(address, 0)?;
            return Ok(self.write_u32(size, 0)?);
        }
        let allocator = ["proxy_on_memory_allocate", "malloc"].into_iter();
        let allocator = allocator.filter_map(|name| self.caller.get_export(name)?.into_func()).next();
        let allocate = allocator.and_then(|it| it.typed::<u32, u32>(&self.caller).ok());
        let allocate = allocate.ok_or(Status::InternalFailure)?;
        let at = allocate.call(&mut self.caller, bytes.len() as u32).map_err(Fault::Trap)?;
        self.write(at, bytes)?;
        self.write_u32(address, at)?;
        Ok(self.write_u32(size, bytes.len() as u32)?)
    }
}

/// What the guest's call returns.
///
/// # Errors
/// The guest's own trap.
pub fn returned(called: Called) -> wasmtime::Result<i32> {
    match called {
        Ok(()) => Ok(Status::Ok as i32),
        Err(Fault::Status(status)) => Ok(status as i32),
        Err(Fault::Trap(trap)) => Err(trap),
    }
}
