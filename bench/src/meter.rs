//! Times, CPU and percentiles of many equal operations.

use std::future::Future;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::StreamExt;

/// Wall time and the CPU time of this process, from now on.
#[derive(Debug)]
pub struct Meter {
    wall: Instant,
    cpu: Duration,
}

impl Meter {
    /// Starts.
    pub fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu() }
    }

    /// The figures of `count` operations since the start; `each` are their latencies.
    pub fn stop(self, count: usize, mut each: Vec<Duration>) -> Row {
        let (wall, spent) = (self.wall.elapsed(), cpu().saturating_sub(self.cpu));
        each.sort_unstable();
        let at =
            |share: usize| each.get((each.len() * share / 100).min(each.len().saturating_sub(1))).copied();
        Row {
            per_s: count as f64 / wall.as_secs_f64(),
            cpu_us: spent.as_secs_f64() * 1e6 / count as f64,
            p50: at(50).unwrap_or_default(),
            p99: at(99).unwrap_or_default(),
        }
    }
}

/// The figures of one subject.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Operations a second.
    pub per_s: f64,
    /// Microseconds of CPU (all threads of this process) an operation.
    pub cpu_us: f64,
    p50: Duration,
    p99: Duration,
}

/// Names the columns.
pub fn heading(title: &str) {
    println!("\n{title}");
    println!("{:<44} {:>10} {:>11} {:>10} {:>10}", "", "ops/s", "CPU µs/op", "p50 ms", "p99 ms");
}

impl Row {
    /// Prints it.
    pub fn print(self, name: &str) -> Self {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        println!(
            "{name:<44} {:>10.0} {:>11.1} {:>10.3} {:>10.3}",
            self.per_s,
            self.cpu_us,
            ms(self.p50),
            ms(self.p99)
        );
        self
    }
}

/// Does something with every item, `callers` at a time.
pub async fn run<T, F, R>(callers: usize, items: Vec<T>, act: F) -> Row
where
    F: Fn(T) -> R,
    R: Future<Output = ()>,
{
    let count = items.len();
    let each = Mutex::new(Vec::with_capacity(count));
    let meter = Meter::start();
    futures_util::stream::iter(items)
        .for_each_concurrent(callers, |item| async {
            let start = Instant::now();
            act(item).await;
            each.lock().unwrap().push(start.elapsed());
        })
        .await;
    meter.stop(count, each.into_inner().unwrap())
}

/// CPU time of all threads of this process (Linux `/proc/<pid>/task/<tid>/schedstat`, first field, nanoseconds).
fn cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let spent = threads.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}
