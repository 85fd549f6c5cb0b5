//! Telling why nothing is acknowledged, while it is still being tried.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use weir_client::{Obstacle, Producer};

use crate::cli::Progress;

/// What is over sooner is not worth a word: a broker that is started anew, a flow that is upgraded.
const AFTER: Duration = Duration::from_secs(2);

/// How often it is said again.
const AGAIN: Duration = Duration::from_secs(20);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Says on standard error what holds the producer up, as long as something does.
pub(super) async fn tell(producer: &Producer, progress: &Progress) -> Infallible {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: Option<Instant> = None;
    loop {
        looks.tick().await;
        match producer.obstacle() {
            Some(obstacle) if obstacle.lasting >= AFTER => {
                if told.is_none_or(|told| told.elapsed() >= AGAIN) {
                    progress.note(&line(&obstacle));
                    told = Some(Instant::now());
                }
            }
            Some(_) => {}
            None => told = None,
        }
    }
}

fn line(obstacle: &Obstacle) -> String {
    let Obstacle {
        reason,
        lasting,
        left,
        ..
    } = obstacle;
    format!(
        "held up for {} s: {reason}; still trying for {} s",
        lasting.as_secs(),
        left.as_secs()
    )
}
