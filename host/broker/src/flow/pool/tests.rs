use std::sync::mpsc::{Receiver, sync_channel};

use super::*;

fn pool(running: usize, waiting: usize, waiting_per_flow: usize) -> FlowPool {
    FlowPool::start(PoolBounds {
        running,
        waiting,
        waiting_per_flow,
    })
    .unwrap()
}

#[test]
fn jobs_run_and_a_panic_takes_no_thread_with_it() {
    let pool = pool(1, 1, 1);
    let (done, results) = sync_channel(10);
    for n in 0..3 {
        let done = done.clone();
        pool.push(n, move || {
            done.send(n).unwrap();
            panic!("on purpose");
        });
    }
    let mut got: Vec<_> = (0..3).map(|_| results.recv().unwrap()).collect();
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2]);
    pool.close();
}

#[test]
fn closing_drops_what_waits() {
    let pool = pool(1, 1, 1);
    let (started, has_started) = sync_channel(0);
    let (release, released) = sync_channel::<()>(0);
    pool.push(1, move || {
        started.send(()).unwrap();
        let _ = released.recv();
    });
    has_started.recv().unwrap();
    let (dropped, was_dropped) = sync_channel::<()>(1);
    pool.push(1, move || dropped.send(()).unwrap());
    pool.shared.close();
    assert!(was_dropped.recv().is_err(), "it was dropped and did not run");
    drop(release);
    pool.close();
    let (late, was_late) = sync_channel::<()>(1);
    pool.push(1, move || late.send(()).unwrap());
    assert!(was_late.recv().is_err());
}

/// A job of `flow` that waits until it is told not to; what says that it waits.
fn waiter(pool: &FlowPool, flow: u32, released: Receiver<()>) -> Receiver<u32> {
    let (said, waits) = sync_channel(2);
    pool.push_that(flow, true, move || {
        away(&mut || {
            said.send(flow).unwrap();
            let _ = released.recv();
        });
        let _ = said.send(flow);
    });
    waits
}

fn run_one(pool: &FlowPool, flow: u32) {
    let (done, is_done) = sync_channel(1);
    pool.push(flow, move || done.send(()).unwrap());
    is_done.recv().unwrap();
}

#[test]
fn who_waits_leaves_the_turn_to_others() {
    let pool = pool(1, 4, 2);
    let (release, released) = sync_channel::<()>(0);
    let waits = waiter(&pool, 1, released);
    assert_eq!(waits.recv(), Ok(1));
    for flow in 1..100 {
        run_one(&pool, flow);
    }
    drop(release);
    assert_eq!(waits.recv(), Ok(1), "it runs on");
    pool.close();
}

#[test]
fn many_that_wait_leave_a_thread_for_those_that_do_not() {
    let pool = pool(1, 3, 1);
    let (mut releases, mut waits) = (Vec::new(), Vec::new());
    for flow in 0..10 {
        let (release, released) = sync_channel::<()>(0);
        releases.push(release);
        waits.push(waiter(&pool, flow, released));
    }
    for first in &waits[..3] {
        first.recv().unwrap();
    }
    run_one(&pool, 99);
    for late in &waits[3..] {
        assert!(late.try_recv().is_err(), "no more than three at once");
    }
    // One after the other, as threads get free.
    drop(releases);
    for late in &waits[3..] {
        late.recv().unwrap();
    }
    pool.close();
}

#[test]
fn one_flow_that_waits_leaves_room_for_another() {
    let pool = pool(1, 3, 2);
    let (mut releases, mut waits) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (release, released) = sync_channel::<()>(0);
        releases.push(release);
        waits.push(waiter(&pool, 1, released));
    }
    waits[0].recv().unwrap();
    waits[1].recv().unwrap();
    let (release, released) = sync_channel::<()>(0);
    let other = waiter(&pool, 2, released);
    assert_eq!(other.recv(), Ok(2));
    assert!(waits[2].try_recv().is_err(), "two of a flow at once");
    drop((releases, release));
    waits[2].recv().unwrap();
    pool.close();
}

#[test]
fn no_more_run_than_there_are_turns() {
    let pool = pool(1, 4, 4);
    let (mut releases, mut waits) = (Vec::new(), Vec::new());
    for flow in 0..3 {
        let (release, released) = sync_channel::<()>(0);
        releases.push(release);
        waits.push(waiter(&pool, flow, released));
    }
    for wait in &waits {
        wait.recv().unwrap();
    }
    let (started, has_started) = sync_channel(0);
    let (finish, finished) = sync_channel::<()>(0);
    pool.push(9, move || {
        started.send(()).unwrap();
        let _ = finished.recv();
    });
    has_started.recv().unwrap();
    drop(releases);
    {
        // Their waits are over, and the only turn is taken.
        let mut queue = pool.shared.lock();
        while queue.returning < 3 {
            drop(queue);
            thread::yield_now();
            queue = pool.shared.lock();
        }
        assert_eq!(queue.running, 1);
    }
    for wait in &waits {
        assert!(wait.try_recv().is_err());
    }
    drop(finish);
    for wait in &waits {
        wait.recv().unwrap();
    }
    pool.close();
}
