//! Deadlines that cost next to nothing while they are met.
//!
//! A timer per request would be armed and disarmed a hundred thousand times a second to fire never. Here a
//! connection has one alarm for its life, setting it is a store, and the worker looks through all alarms now
//! and then: at the earliest one, at most a hundred times and at least once a second. So an alarm goes off up
//! to 10 ms late, and never early.

use base::Moment;
use pin_project_lite::pin_project;
use runtime::Clock;
use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::Notify;

/// Least time between two looks.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(10);

/// Most time between two looks.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(1);

/// Alarms of one worker.
pub(crate) struct Alarms {
    clock: Clock,
    all: RefCell<Vec<Rc<State>>>,
    /// When the next look is, in µs of the clock.
    next_us: Cell<u64>,
    earlier: Notify,
}

pub(crate) struct State {
    /// When it goes off, in µs of the clock.
    at_us: Cell<u64>,
    /// A look has found it due. Whoever waits need not ask the clock.
    is_due: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Where it stands among all alarms.
    index: Cell<usize>,
}

/// The time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// One deadline after the other, for one task.
pub(crate) struct Alarm {
    alarms: Rc<Alarms>,
    state: Rc<State>,
}

const NEVER: u64 = u64::MAX;

fn micros(moment: Moment) -> u64 {
    u64::try_from(moment.since_start().as_micros()).unwrap_or(NEVER)
}

impl Alarms {
    pub(crate) fn new(clock: Clock) -> Rc<Self> {
        Rc::new(Self {
            clock,
            all: RefCell::default(),
            next_us: Cell::new(0),
            earlier: Notify::new(),
        })
    }

    /// A new alarm, not set.
    pub(crate) fn alarm(self: &Rc<Self>) -> Alarm {
        let mut all = self.all.borrow_mut();
        let state = Rc::new(State {
            at_us: Cell::new(NEVER),
            is_due: Cell::new(false),
            waker: RefCell::default(),
            index: Cell::new(all.len()),
        });
        all.push(Rc::clone(&state));
        Alarm { alarms: Rc::clone(self), state }
    }

    /// Wakes the tasks of all alarms, so that they look at what else may have changed.
    pub(crate) fn wake_all(&self) {
        for state in self.all.borrow().iter() {
            if let Some(waker) = state.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Looks through the alarms until it is dropped.
    pub(crate) async fn run(&self) {
        loop {
            let now = micros(self.clock.now());
            let mut next = NEVER;
            for state in self.all.borrow().iter() {
                let at = state.at_us.get();
                if at > now {
                    next = next.min(at);
                    continue;
                }
                state.is_due.set(true);
                if let Some(waker) = state.waker.borrow_mut().take() {
                    waker.wake();
                }
            }
            let most = now + micros(Moment::START + LOOK_EVERY_MAX);
            self.next_us.set(next.min(most));
            tokio::time::sleep(LOOK_EVERY_MIN).await;
            loop {
                let left = self.next_us.get().saturating_sub(micros(self.clock.now()));
                if left == 0 {
                    break;
                }
                // An earlier alarm moves the next look forward.
                let sleep = tokio::time::sleep(Duration::from_micros(left));
                tokio::select! {
                    () = sleep => break,
                    () = self.earlier.notified() => {}
                }
            }
        }
    }
}

impl Alarm {
    /// Sets it to go off at `at`.
    pub(crate) fn set(&self, at: Moment) {
        self.set_us(micros(at));
    }

    /// Lets it never go off.
    pub(crate) fn clear(&self) {
        self.set_us(NEVER);
    }

    fn set_us(&self, at_us: u64) {
        self.state.at_us.set(at_us);
        self.state.is_due.set(false);
        if at_us < self.alarms.next_us.get() {
            self.alarms.next_us.set(at_us);
            self.alarms.earlier.notify_one();
        }
    }

    /// Lets it go off no later than `at`, and returns what brings it back to what it was.
    pub(crate) fn narrow(&self, at: Moment) -> Narrowed<'_> {
        let before = self.state.at_us.get();
        self.set_us(before.min(micros(at)));
        Narrowed { alarm: self, before }
    }

    /// Runs `future` until the alarm goes off.
    ///
    /// # Cancel safety
    /// As the future.
    pub(crate) fn within<F: Future>(&self, future: F) -> Within<'_, F> {
        Within { state: &self.state, future }
    }
}

pin_project! {
    /// What [`Alarm::within`] returns. An `async fn` in its place would hold the future twice.
    pub(crate) struct Within<'a, F> {
        state: &'a State,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if this.state.is_due.get() {
            return Poll::Ready(Err(Elapsed));
        }
        let mut waker = this.state.waker.borrow_mut();
        match &mut *waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let mut all = self.alarms.all.borrow_mut();
        let index = self.state.index.get();
        all.swap_remove(index);
        if let Some(moved) = all.get(index) {
            moved.index.set(index);
        }
        // A crowd that has gone leaves no memory behind.
        if all.capacity() > 64 && all.len() * 4 < all.capacity() {
            let keep = all.len() * 2;
            all.shrink_to(keep);
        }
    }
}

/// An alarm that was brought forward, until this is dropped.
pub(crate) struct Narrowed<'a> {
    alarm: &'a Alarm,
    before: u64,
}

impl Drop for Narrowed<'_> {
    fn drop(&mut self) {
        // The looks since then did not have it in mind.
        self.alarm.set_us(self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(test: impl Future<Output = ()>, alarms: &Rc<Alarms>) {
        let patience = tokio::time::sleep(Duration::from_secs(30));
        tokio::select! {
            () = test => {}
            () = alarms.run() => {}
            () = patience => panic!("took too long"),
        }
    }

    #[tokio::test]
    async fn an_alarm_goes_off_after_its_time_and_not_before() {
        let clock = Clock::start();
        let alarms = Alarms::new(clock);
        let test = async {
            let (first, second) = (alarms.alarm(), alarms.alarm());
            second.set(clock.now() + Duration::from_secs(3_600));
            // The look is an hour ahead now; a nearer alarm must still be met.
            tokio::task::yield_now().await;
            let at = clock.now() + Duration::from_millis(30);
            first.set(at);
            assert_eq!(first.within(std::future::pending::<()>()).await, Err(Elapsed));
            assert!(clock.now() >= at);
            assert_eq!(first.within(std::future::ready(1)).await, Ok(1));
            assert!(!second.state.is_due.get());
        };
        run(test, &alarms).await;
    }

    #[tokio::test]
    async fn a_narrowed_alarm_becomes_what_it_was() {
        let clock = Clock::start();
        let alarms = Alarms::new(clock);
        let test = async {
            let alarm = alarms.alarm();
            {
                let _narrowed = alarm.narrow(clock.now() + Duration::from_millis(5));
                assert_eq!(alarm.within(std::future::pending::<()>()).await, Err(Elapsed));
            }
            assert!(!alarm.state.is_due.get());
        };
        run(test, &alarms).await;
    }

    #[test]
    fn alarms_that_go_leave_the_others_in_place() {
        let alarms = Alarms::new(Clock::start());
        let mut list: Vec<Alarm> = (0..100).map(|_| alarms.alarm()).collect();
        list.swap_remove(3);
        list.truncate(40);
        let all = alarms.all.borrow();
        assert_eq!(all.len(), 40);
        for (index, state) in all.iter().enumerate() {
            assert_eq!(state.index.get(), index);
        }
    }
}
