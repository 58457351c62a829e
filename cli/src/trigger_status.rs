//! The second listener of `cdist trigger` and the socket for the command line: where they are, and who may use them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use cdist_core::trigger::{
    connections::Connections,
    dispatcher::Dispatcher,
    listener, socket,
    status::{
        Status,
        guard::{Guard, GuardError},
        view::ListenerView,
    },
};
use tokio::{sync::watch, task::JoinSet};

use crate::{failure::Failure, trigger_args::TriggerArgs};

/// Where the status page is if nobody says.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3001);
/// Most connections to the listener at a time. A browser has up to six for one page.
const CONNECTIONS: usize = 1024;

/// Where the status page is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere.
    Off,
    /// At this address.
    At(SocketAddr),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let wrong = "must be an address with a port, such as 127.0.0.1:3001 or [::1]:3001, or off";
        text.parse().map(Self::At).map_err(|_| wrong.to_owned())
    }
}

/// The listeners, bound, and the rules for them.
pub(crate) struct StatusListeners {
    guard: Guard,
    tcp: Option<TcpListener>,
    unix: UnixListener,
    state_dir: PathBuf,
}

impl StatusListeners {
    /// Binds them. The state directory is this server's already.
    ///
    /// # Errors
    ///
    /// An address that is named is taken; everybody could use it; the socket cannot be made.
    pub(crate) fn bind(args: &TriggerArgs, state_dir: &Path) -> Result<Self, Failure> {
        let place = match args.status_listen.unwrap_or(Place::At(DEFAULT)) {
            Place::At(address) => Some(address),
            Place::Off => None,
        };
        let address = place.unwrap_or(DEFAULT).ip();
        let guard =
            Guard::new(address, args.status_name.clone(), args.status_token_file.as_deref(), state_dir)
                .map_err(refused)?;
        let tcp = match place.map(|place| listener::at(place.ip(), place.port())).transpose() {
            // Two servers on one machine are not to get into each other's way by what nobody asked for.
            Err(error) if args.status_listen.is_none() => {
                tracing::warn!(
                    "no status page: {error}: {}; --status-listen takes another address",
                    error.source
                );
                None
            }
            listener => listener.map_err(|error| {
                Failure::from_error(&error).hint("choose another address and port with --status-listen")
            })?,
        };
        let unix = socket::listen(state_dir).map_err(|error| {
            let path = state_dir.join(socket::NAME);
            Failure::new(format!("making the socket {}: {error}", path.display()))
                .hint("remove what is there, or name another directory with --state-dir")
        })?;
        Ok(Self { guard, tcp, unix, state_dir: state_dir.to_owned() })
    }

    /// Serves them until `stop` becomes true. `machines` is where machines are served.
    pub(crate) fn serve(
        self,
        dispatcher: Dispatcher,
        machines: &[SocketAddr],
        stop: watch::Receiver<bool>,
        tasks: &mut JoinSet<()>,
    ) {
        let view = |purpose: &str, address: String| ListenerView { purpose: purpose.to_owned(), address };
        let mut listeners: Vec<_> =
            machines.iter().map(|address| view("machines", address.to_string())).collect();
        let tcp = self.tcp.and_then(|tcp| {
            let address = tcp.local_addr().ok()?;
            tracing::info!("status page on http://{address}/");
            listeners.push(view("status", address.to_string()));
            tokio::net::TcpListener::from_std(tcp).ok()
        });
        let path = self.state_dir.join(socket::NAME);
        listeners.push(view("command line", path.display().to_string()));
        let status = Status::new(dispatcher, self.guard, self.state_dir, listeners, stop);
        if let Some(tcp) = tcp {
            tasks.spawn(Arc::clone(&status).serve_tcp(tcp, Connections::new(CONNECTIONS)));
        }
        if let Ok(unix) = tokio::net::UnixListener::from_std(self.unix) {
            tasks.spawn(status.serve_unix(unix));
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: GuardError) -> Failure {
    let failure = Failure::from_error(&error);
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_with_a_port_or_none() {
        assert_eq!("127.0.0.1:3001".parse(), Ok(Place::At(DEFAULT)));
        assert_eq!("off".parse(), Ok(Place::Off));
        assert!("[::1]:0".parse::<Place>().is_ok());
        for wrong in ["", "3001", "127.0.0.1", "localhost:3001", "::1:3001", "on"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
