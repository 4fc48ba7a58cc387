//! An allocator that counts, for tests of what is allocated and kept: each includes this file, as only one may be there in a process, and the crates it
//! is used in do not know each other.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator with the same arguments; counters of the thread are all that is added, and
// constant thread-locals of types without `Drop` neither allocate nor end before their thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn count(bytes: isize) {
    LIVE.set(LIVE.get() + bytes);
    MOST.set(MOST.get().max(LIVE.get()));
    CALLS.set(CALLS.get() + 1);
}

/// Bytes that this thread has allocated and not given back.
#[allow(dead_code, reason = "one test asks for bytes, another for calls")]
pub(crate) fn live() -> isize {
    LIVE.get()
}

/// The most of them at a time since the thread last [began](begin).
#[allow(dead_code, reason = "one test asks for bytes, another for calls")]
pub(crate) fn most() -> isize {
    MOST.get()
}

/// The most is counted anew, and from nothing.
#[allow(dead_code, reason = "one test asks for bytes, another for calls")]
pub(crate) fn begin() {
    LIVE.set(0);
    MOST.set(0);
}

/// How often this thread has allocated or given back.
#[allow(dead_code, reason = "one test asks for bytes, another for calls")]
pub(crate) fn calls() -> u64 {
    CALLS.get()
}
