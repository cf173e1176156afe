//! Ctrl-C: the first press asks the work to stop and keep what it has, the
//! second ends the program at once.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

/// What a shell expects of a program ended by Ctrl-C (128 + SIGINT).
pub(crate) const EXIT_CODE: u8 = 130;

/// Whether the person asked to stop. Cheap to clone and to ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    asked: AtomicBool,
    /// Whether what runs now is the last step and will be finished.
    is_last: AtomicBool,
}

impl Interrupt {
    /// Listens for Ctrl-C (and termination requests).
    ///
    /// # Errors
    /// When the operating system refuses the handler.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        let asked = interrupt.clone();
        ctrlc::set_handler(move || {
            if asked.0.asked.swap(true, Ordering::SeqCst) {
                std::process::exit(i32::from(EXIT_CODE));
            }
            crate::console::Console::new(false).note(if asked.0.is_last.load(Ordering::SeqCst) {
                "\nThe last step goes on to its end and its result is written. Press Ctrl-C again to end at once, without it."
            } else {
                "\nStopping after this step and keeping what there is. Press Ctrl-C again to end at once."
            });
        })
        .context("Ctrl-C: the operating system refuses the handler")?;
        Ok(interrupt)
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// The last step begins: Ctrl-C now says that it is finished.
    pub(crate) fn last_step(&self) {
        self.0.is_last.store(true, Ordering::SeqCst);
    }

    /// `Break` once Ctrl-C was pressed.
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        if self.asked() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
