//! Giving memory back to the system after a connection ended.
//!
//! Each connection decodes on threads of its own, so the C library serves its pictures from another arena and keeps them
//! there when the connection ends: with a camera that comes and goes, a process would grow by some pictures each time until
//! all arenas were used. Other C libraries give memory back by themselves.
#![allow(unsafe_code)]

/// Hands what the allocator holds without need back to the system. Takes about a millisecond.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` has no precondition and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
