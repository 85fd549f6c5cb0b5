//! What `weir serve` does, apart from its command line: start, say so, wait for a signal, stop in time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weir_client::trust;

use crate::server::{Server, ServerConfig, StartError};

/// The words before the address in the line that says that the broker is ready.
pub(crate) const READY: &str = "listening on ";

/// What is in flight may take so long to finish.
const GRACE: Duration = Duration::from_secs(3);

/// Stopping as a whole takes no longer; what is acknowledged is on disk already.
const STOP_MAX: Duration = Duration::from_millis(4500);

/// Runs a broker until `stop` resolves.
pub(crate) async fn serve(
    mut config: ServerConfig,
    begun: Instant,
    stop: impl Future<Output = ()>,
) -> Result<(), StartError> {
    eprintln!("weir {}", env!("CARGO_PKG_VERSION"));
    if let Some(data) = &mut config.data {
        // Whatever is said of it has to make sense elsewhere, too.
        *data = std::path::absolute(&*data).unwrap_or_else(|_| data.clone());
        eprintln!("data folder: {}", data.display());
    }
    let server = Server::start(config).await?;
    for notice in server.tls().notices() {
        eprintln!("{notice}");
    }
    let published = publish(&server);
    let ready_ms = begun.elapsed().as_millis();
    eprintln!("{READY}{} (QUIC, UDP), ready in {ready_ms} ms", server.addr());

    stop.await;
    eprintln!("stopping: finishing what is in flight; a second signal ends it at once");
    if tokio::time::timeout(STOP_MAX, server.stop(GRACE)).await.is_err() {
        eprintln!("stopped before everything was finished; what was acknowledged is on disk");
    } else {
        eprintln!("stopped");
    }
    drop(published);
    Ok(())
}

/// Leaves the CA where clients of this user on this machine look for it.
fn publish(server: &Server) -> Option<Published> {
    let addr = server.addr().to_string();
    let ca = server.tls().ca_pem();
    let path = server.tls().ca_path().map(Path::display);
    match trust::publish_local_ca(&addr, ca.as_bytes()) {
        Ok(pointer) => {
            if let Some(path) = path {
                eprintln!("clients of this user find the trust by themselves, others take --ca {path}");
            }
            Some(Published {
                pointer,
                ca: ca.to_owned(),
            })
        }
        Err(error) => {
            if let Some(path) = path {
                eprintln!("clients take --ca {path} (it could not be left for them: {error})");
            }
            None
        }
    }
}

/// The CA as it was left for local clients; taken away again at the end, unless another broker has put its own there.
struct Published {
    pointer: PathBuf,
    ca: String,
}

impl Drop for Published {
    fn drop(&mut self) {
        if std::fs::read_to_string(&self.pointer).is_ok_and(|there| there == self.ca) {
            // If it cannot be removed it points to a broker that is not there: no harm.
            let _ = std::fs::remove_file(&self.pointer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_broker_left_stays() {
        let dir = tempfile::tempdir().unwrap();
        let pointer = dir.path().join("localhost_1.pem");
        let published = || Published {
            pointer: pointer.clone(),
            ca: "mine".to_owned(),
        };
        std::fs::write(&pointer, "mine").unwrap();
        drop(published());
        assert!(!pointer.exists());
        std::fs::write(&pointer, "theirs").unwrap();
        drop(published());
        assert!(pointer.exists());
    }
}
