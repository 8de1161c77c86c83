//! Panics of this thread. A task that panics ends in silence, so they are counted where they begin.

use std::cell::Cell;
use std::panic;
use std::sync::Once;

thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

/// From now on panics are counted, and told as before.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |told| {
            COUNT.with(|count| count.set(count.get() + 1));
            before(told);
        }));
    });
}

/// How many there were since the last time.
pub(crate) fn take() -> u32 {
    COUNT.with(|count| count.replace(0))
}
