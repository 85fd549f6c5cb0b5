//! The calls of a flow's plugins: how long they take, and how they fail.

use std::sync::{Mutex, PoisonError};

use weir_runtime::CallFault;

use crate::flow::histogram::Histogram;

/// Calls of a flow's plugins since the broker started. A call is one run of a batch, or of a part of one, through all of them;
/// of a producer, one poll.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlowCalls {
    /// Calls, those that failed included.
    pub count: u64,
    /// Nanoseconds that half of them took at most, exact to a sixteenth.
    pub p50_ns: u64,
    /// Nanoseconds that 99 of 100 took at most, exact to a sixteenth.
    pub p99_ns: u64,
    /// Nanoseconds of the longest one.
    pub max_ns: u64,
    /// How records, or polls, failed.
    pub faults: FlowFaults,
}

/// How often records failed, by the way in which they did; of a producer, polls. A record that is tried again counts again.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlowFaults {
    /// The plugin trapped.
    pub trap: u64,
    /// The call ran into its deadline.
    pub deadline: u64,
    /// The plugin ran out of the memory it may have.
    pub memory: u64,
    /// The plugin's answer was malformed or too large.
    pub output: u64,
    /// The plugin said that it cannot handle the record, or what it made of it does not fit into the sink; of a producer, it said
    /// that it has nothing.
    pub refused: u64,
    /// The plugin wanted the record in the dead-letter topic.
    pub dead_letter: u64,
    /// The plugin wanted the record tried again.
    pub retry: u64,
    /// Anything else: the plugin did not start, its state or the batch could not be read.
    pub other: u64,
}

/// One way to fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    Trap,
    Deadline,
    Memory,
    Output,
    Refused,
    DeadLetter,
    Retry,
    Other,
    /// The flow was stopped in the middle of the call: no record is to blame, and it is not counted.
    Stopped,
}

impl FlowFaults {
    pub(crate) fn count(&mut self, fault: Fault) {
        let counter = match fault {
            Fault::Trap => &mut self.trap,
            Fault::Deadline => &mut self.deadline,
            Fault::Memory => &mut self.memory,
            Fault::Output => &mut self.output,
            Fault::Refused => &mut self.refused,
            Fault::DeadLetter => &mut self.dead_letter,
            Fault::Retry => &mut self.retry,
            Fault::Other => &mut self.other,
            Fault::Stopped => return,
        };
        *counter += 1;
    }

    fn add(&mut self, other: &Self) {
        self.trap += other.trap;
        self.deadline += other.deadline;
        self.memory += other.memory;
        self.output += other.output;
        self.refused += other.refused;
        self.dead_letter += other.dead_letter;
        self.retry += other.retry;
        self.other += other.other;
    }
}

impl From<CallFault> for Fault {
    fn from(fault: CallFault) -> Self {
        match fault {
            CallFault::Trap => Self::Trap,
            CallFault::Deadline => Self::Deadline,
            CallFault::Memory => Self::Memory,
            CallFault::Output => Self::Output,
            CallFault::Refused => Self::Refused,
            CallFault::Stopped => Self::Stopped,
            CallFault::Other => Self::Other,
        }
    }
}

/// Account of calls, kept by the threads that make them. Held only for as long as it takes to add to it.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    took_ns: Histogram,
    faults: FlowFaults,
}

impl Calls {
    /// A call took so long, and records of it failed so.
    pub(crate) fn add(&self, took_ns: u64, faults: &FlowFaults) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.took_ns.record(took_ns as f64);
        state.faults.add(faults);
    }

    /// All of it.
    pub(crate) fn info(&self) -> FlowCalls {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let took = state.took_ns.summary();
        FlowCalls {
            count: took.count,
            p50_ns: took.p50 as u64,
            p99_ns: took.p99 as u64,
            max_ns: took.max as u64,
            faults: state.faults,
        }
    }
}
