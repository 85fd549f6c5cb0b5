use std::time::Duration;

use tokio::sync::mpsc;
use weir_protocol::{Frame, FrameKind, SubscribeOpened, SubscribeProgress, WireError};

use crate::backoff::Backoff;
use crate::consumer::command::Command;
use crate::consumer::event::Event;
use crate::consumer::stream::SubscribeStream;
use crate::consumer::subscription::{Reaction, Subscription};
use crate::wire::{message, send};
use crate::{Client, Error};

const RECONNECT_DELAY: Duration = Duration::from_millis(50);
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(2);

/// Brings a consumer its records: owns its stream, and opens another one where it stands when it is lost.
pub(super) struct Driver {
    client: Client,
    subscription: Subscription,
    events: mpsc::Sender<Event>,
    commands: mpsc::Receiver<Command>,
}

/// Why a stream is left.
enum End {
    /// The consumer is gone.
    Dropped,
    /// Nothing more comes from any partition, unless one is sought.
    Finished,
    /// A command needs a new stream.
    Reopen,
    Lost(Error),
}

impl Driver {
    pub(super) fn new(
        client: Client,
        subscription: Subscription,
        events: mpsc::Sender<Event>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            client,
            subscription,
            events,
            commands,
        }
    }

    /// Runs until the consumer is dropped, or cannot go on.
    pub(super) async fn run(mut self, first: SubscribeStream) {
        if let Err(error) = self.follow(first).await {
            // If nobody listens any more, nobody misses it.
            let _ = self.events.send(Event::Fatal(error)).await;
        }
    }

    /// `Ok` when the consumer is gone.
    async fn follow(&mut self, first: SubscribeStream) -> Result<(), Error> {
        let mut stream = Some(first);
        let mut backoff = Backoff::new(RECONNECT_DELAY, RECONNECT_DELAY_MAX);
        loop {
            for event in self.subscription.take_ended() {
                if self.events.send(event).await.is_err() {
                    return Ok(());
                }
            }
            let end = if self.subscription.is_finished() {
                stream = None;
                End::Finished
            } else {
                match stream.take() {
                    Some(stream) => self.serve(stream, &mut backoff).await,
                    None => match self.reopen().await {
                        Ok(Some(next)) => {
                            stream = Some(next);
                            continue;
                        }
                        Ok(None) => End::Reopen,
                        Err(error) => End::Lost(error),
                    },
                }
            };
            match end {
                End::Dropped => return Ok(()),
                End::Reopen => {}
                End::Finished => match self.commands.recv().await {
                    Some(command) => {
                        self.obey(command);
                    }
                    None => return Ok(()),
                },
                End::Lost(error) if error.retriable() => {
                    tracing::debug!(%error, "the subscription was lost");
                    if !self.wait(backoff.next_delay()).await {
                        return Ok(());
                    }
                }
                End::Lost(error) => return Err(error),
            }
        }
    }

    /// Takes records in until the stream is of no more use.
    async fn serve(&mut self, mut stream: SubscribeStream, backoff: &mut Backoff) -> End {
        let pause = match self.subscription.reopened(&stream.opened) {
            Ok(pause) => pause,
            Err(error) => return End::Lost(error),
        };
        if let Some(pause) = pause
            && let Err(error) = send(&mut stream.sender, self.client.broker(), &pause).await
        {
            return End::Lost(error);
        }
        let events = self.events.clone();
        loop {
            // Room for the next event first: while the consumer is busy, flow control holds the broker back.
            let permit = tokio::select! {
                permit = events.reserve() => match permit {
                    Ok(permit) => permit,
                    Err(_) => return End::Dropped,
                },
                command = self.commands.recv() => match self.told(command, &mut stream).await {
                    Some(end) => return end,
                    None => continue,
                },
            };
            if let Some(damage) = self.subscription.take_damage() {
                permit.send(damage);
                // The broker knows of no damage and would go on sending what nobody takes.
                return End::Reopen;
            }
            let event = tokio::select! {
                frame = stream.reader.next() => match frame.and_then(|frame| self.received(frame)) {
                    Ok(event) => {
                        backoff.reset();
                        event
                    }
                    Err(error) => return End::Lost(error),
                },
                command = self.commands.recv() => match self.told(command, &mut stream).await {
                    Some(end) => return end,
                    None => None,
                },
                () = events.closed() => return End::Dropped,
            };
            if let Some(event) = event {
                permit.send(event);
            }
            if self.subscription.is_finished() {
                return End::Finished;
            }
        }
    }

    /// Takes in what the broker sent.
    fn received(&mut self, frame: Option<Frame>) -> Result<Option<Event>, Error> {
        let Some(frame) = frame else {
            return Err(Error::ConnectionLost {
                broker: self.client.broker().to_owned(),
                reason: "the broker ended the subscription".to_owned(),
            });
        };
        match frame.kind() {
            FrameKind::Records => self.subscription.records(frame.body.freeze()),
            FrameKind::Error => self.subscription.error(message::<WireError>(&frame)?),
            FrameKind::SubscribeProgress => {
                let progress = message::<SubscribeProgress>(&frame)?;
                Ok(self.subscription.progress(&progress))
            }
            FrameKind::Goodbye => Ok(None),
            _ => {
                self.subscription.sought(&message::<SubscribeOpened>(&frame)?);
                Ok(None)
            }
        }
    }

    /// Passes a command on to the broker. Returns why the stream is left, if it is.
    async fn told(&mut self, command: Option<Command>, stream: &mut SubscribeStream) -> Option<End> {
        let Some(command) = command else {
            return Some(End::Dropped);
        };
        match self.obey(command) {
            Reaction::Reopen => Some(End::Reopen),
            Reaction::Send(controls) => {
                for control in controls {
                    if let Err(error) = send(&mut stream.sender, self.client.broker(), &control).await {
                        return Some(End::Lost(error));
                    }
                }
                None
            }
        }
    }

    fn obey(&mut self, command: Command) -> Reaction {
        match command {
            Command::Seek {
                partition,
                start,
                generation,
            } => self.subscription.seek(partition, start, generation),
            Command::Pause { partition } => self.subscription.pause(partition),
        }
    }

    /// A new stream from where the subscription stands. `None` if it stands elsewhere by now.
    async fn reopen(&mut self) -> Result<Option<SubscribeStream>, Error> {
        let request = self.subscription.request();
        tokio::select! {
            stream = SubscribeStream::open(&self.client, &request) => stream.map(Some),
            command = self.commands.recv() => match command {
                Some(command) => {
                    self.obey(command);
                    Ok(None)
                }
                None => Err(Error::Closed),
            },
        }
    }

    /// Waits before the next attempt; commands are carried out meanwhile. False if the consumer is gone.
    async fn wait(&mut self, delay: Duration) -> bool {
        let until = tokio::time::Instant::now() + delay;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return true,
                command = self.commands.recv() => match command {
                    Some(command) => {
                        self.obey(command);
                    }
                    None => return false,
                },
            }
        }
    }
}
