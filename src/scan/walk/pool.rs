//! Threads that share work whose results are wanted in order: jobs are made one after another, done by whoever is free, and their
//! results handed over in the order in which the jobs were made. Only so many jobs are under way, so memory is bounded whatever the
//! number of jobs. There is no thread for each part: whoever is free does what is most urgent.

use super::super::ScanError;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Makes the next job, or `None` after the last.
pub(super) type Make<'a, J> = dyn FnMut() -> Result<Option<J>, ScanError> + Send + 'a;
/// Does a job; the buffer is the thread's own.
pub(super) type Do<'a, J, R> = dyn Fn(J, &mut Vec<u8>) -> Result<R, ScanError> + Sync + 'a;
/// Is given the results in order.
pub(super) type Take<'a, R> = dyn FnMut(R) -> Result<(), ScanError> + Send + 'a;

/// Most threads of one walk: one thread makes the jobs of all, and each job under way keeps directories open.
pub(super) const MAX_THREADS: usize = 128;

/// Runs all jobs on so many threads, at most [`MAX_THREADS`], this one among them. After an error no further job is begun; of several errors the one of the
/// earliest job is returned.
pub(super) fn run<J: Send, R: Send>(
    threads: NonZeroUsize,
    make: &mut Make<'_, J>,
    work: &Do<'_, J, R>,
    take: &mut Take<'_, R>,
) -> Result<(), ScanError> {
    let threads = threads.get().min(MAX_THREADS);
    // Enough that all go on while one of them has a large file.
    let ahead = 2 * threads + 28;
    let state = Mutex::new(State::default());
    let pool = Pool { state, ready: Condvar::new(), make: Mutex::new(make), work, take: Mutex::new(take), ahead };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| pool.help())).collect();
        pool.help();
        others.into_iter().try_for_each(|other| other.join().map_err(|_| ScanError::Panicked))
    })?;
    match pool.lock().failed.take() {
        Some((_, err)) => Err(err),
        None => Ok(()),
    }
}

struct Pool<'p, 'm, 'd, 't, J, R> {
    state: Mutex<State<J, R>>,
    ready: Condvar,
    make: Mutex<&'p mut Make<'m, J>>,
    work: &'p Do<'d, J, R>,
    take: Mutex<&'p mut Take<'t, R>>,
    ahead: usize,
}

struct State<J, R> {
    /// Made, not begun.
    waiting: VecDeque<(u64, J)>,
    /// A place for the result of each job from number `first` on.
    results: VecDeque<Option<R>>,
    first: u64,
    making: bool,
    taking: bool,
    /// There are no more jobs.
    ended: bool,
    failed: Option<(u64, ScanError)>,
}

impl<J, R> Default for State<J, R> {
    fn default() -> Self {
        let (waiting, results) = Default::default();
        State { waiting, results, first: 0, making: false, taking: false, ended: false, failed: None }
    }
}

impl<J, R> State<J, R> {
    fn fail(&mut self, number: u64, err: ScanError) {
        if self.failed.as_ref().is_none_or(|(had, _)| number < *had) {
            self.failed = Some((number, err));
        }
    }

    /// The number of the next job.
    fn next(&self) -> u64 {
        self.first + self.results.len() as u64
    }
}

impl<J: Send, R: Send> Pool<'_, '_, '_, '_, J, R> {
    fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        // A thread that panicked is reported when it is joined.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn help(&self) {
        // A panic must not leave the others waiting for this thread.
        let _guard = Leave(self);
        let mut buffer = Vec::new();
        let mut state = self.lock();
        while state.failed.is_none() {
            if !state.taking
                && let Some(result) = state.results.front_mut().and_then(Option::take)
            {
                let number = state.first;
                state.results.pop_front();
                state.first += 1;
                state.taking = true;
                drop(state);
                let taken = self.take.lock().unwrap_or_else(PoisonError::into_inner)(result);
                state = self.lock();
                state.taking = false;
                if let Err(err) = taken {
                    state.fail(number, err);
                }
            } else if let Some((number, job)) = state.waiting.pop_front() {
                drop(state);
                let done = (self.work)(job, &mut buffer);
                state = self.lock();
                match done {
                    Ok(result) => {
                        let at = (number - state.first) as usize;
                        state.results[at] = Some(result);
                    }
                    Err(err) => state.fail(number, err),
                }
            } else if !state.making && !state.ended && state.results.len() < self.ahead {
                state.making = true;
                drop(state);
                let made = self.make.lock().unwrap_or_else(PoisonError::into_inner)();
                state = self.lock();
                state.making = false;
                let number = state.next();
                match made {
                    Ok(Some(job)) => {
                        state.results.push_back(None);
                        state.waiting.push_back((number, job));
                    }
                    Ok(None) => state.ended = true,
                    Err(err) => state.fail(number, err),
                }
            } else if state.ended && state.results.is_empty() && !state.taking {
                break;
            } else {
                state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            self.ready.notify_all();
        }
    }
}

/// Ends the work of all when a thread panics.
struct Leave<'l, 'p, 'm, 'd, 't, J: Send, R: Send>(&'l Pool<'p, 'm, 'd, 't, J, R>);

impl<J: Send, R: Send> Drop for Leave<'_, '_, '_, '_, '_, J, R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().fail(0, ScanError::Panicked);
            self.0.ready.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn threads(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).unwrap()
    }

    fn numbers(to: u64) -> impl FnMut() -> Result<Option<u64>, ScanError> + Send {
        let mut next = 0..to;
        move || Ok(next.next())
    }

    #[test]
    fn in_order_and_not_too_far_ahead() {
        for n in [1, 2, 5] {
            let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let mut make = numbers(500);
            let mut make = || {
                most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                make()
            };
            let work = |job: u64, _: &mut Vec<u8>| {
                // The first is the slowest: all others are done before it, as far as they may.
                std::thread::sleep(Duration::from_micros(if job == 0 { 20_000 } else { job % 7 * 10 }));
                Ok(job)
            };
            let mut got = Vec::new();
            let mut take = |result| {
                under_way.fetch_sub(1, Ordering::SeqCst);
                got.push(result);
                Ok(())
            };
            run(threads(n), &mut make, &work, &mut take).unwrap();
            assert!(got.into_iter().eq(0..500));
            assert!(most.load(Ordering::SeqCst) <= 2 * n + 28 + 1, "{most:?}");
        }
    }

    #[test]
    fn the_earliest_error_ends_it_wherever_it_comes_from() {
        let bad = |number: u64| ScanError::Changed(format!("{number}").into());
        let name = |result: Result<(), ScanError>| result.unwrap_err().to_string();
        let made = AtomicUsize::new(0);
        let mut make = numbers(u64::MAX);
        let mut make = || {
            made.fetch_add(1, Ordering::SeqCst);
            make()
        };
        // Both are under way together: 4 fails first, 3 later.
        let work = |job: u64, _: &mut Vec<u8>| match job {
            3 => {
                std::thread::sleep(Duration::from_millis(50));
                Err(bad(3))
            }
            4 => {
                std::thread::sleep(Duration::from_millis(5));
                Err(bad(4))
            }
            job => Ok(job),
        };
        let mut taken = Vec::new();
        let got = run(threads(3), &mut make, &work, &mut |n| {
            taken.push(n);
            Ok(())
        });
        assert_eq!(name(got), bad(3).to_string());
        assert!(taken.iter().all(|n| *n < 3), "{taken:?}");
        assert!(made.load(Ordering::SeqCst) < 100, "no further job is begun");
        let ok = |job: u64, _: &mut Vec<u8>| Ok(job);
        let mut take = |n| if n == 7 { Err(bad(n)) } else { Ok(()) };
        assert_eq!(name(run(threads(2), &mut numbers(u64::MAX), &ok, &mut take)), bad(7).to_string());
        let mut next = numbers(5);
        let mut make = || next().and_then(|n| n.map(Some).ok_or_else(|| bad(5)));
        assert_eq!(name(run(threads(2), &mut make, &ok, &mut |_| Ok(()))), bad(5).to_string());
    }

    #[test]
    fn a_panic_is_an_error_and_nobody_waits_for_ever() {
        let here = std::thread::current().id();
        let (panicking, panics) = (Mutex::new(false), Condvar::new());
        let work = |job: u64, _: &mut Vec<u8>| {
            // On the other thread only: one on this thread goes on as a panic.
            let other = std::thread::current().id() != here;
            match job {
                9.. if other => {
                    *panicking.lock().unwrap() = true;
                    panics.notify_all();
                    panic!("as it should");
                }
                // This thread waits, so that the other one comes to it.
                9.. => {
                    let waited =
                        panics.wait_timeout_while(panicking.lock().unwrap(), Duration::from_secs(60), |said| !*said);
                    assert!(!waited.unwrap().1.timed_out(), "the other thread never had its turn");
                }
                _ => {}
            }
            Ok(job)
        };
        let got = run(threads(2), &mut numbers(1000), &work, &mut |_| Ok(()));
        assert!(matches!(got, Err(ScanError::Panicked)), "{got:?}");
    }
}
