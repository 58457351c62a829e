//! The command line.

use std::{net::SocketAddr, time::Duration};

pub(crate) const USAGE: &str = "\
trigger_load [OPTION]... ADDRESS:PORT

Calls a trigger server and prints one line of JSON about its answers.

  --keep-alive      connections stay open; each request is a POST with a hardware address of its own (default)
  --new             each request is a GET on a new connection from an address of its own, 127.a.b.c
  --connections N   as many at a time (64)
  --pipeline N      as many unanswered requests on each connection that stays open (1)
  --rate N          begin N requests a second, whatever comes of them; without it, as fast as answers come
  --seconds N       begin requests for so long (5)
  --requests N      begin no more than so many
  --first N         number of the first machine (0): addresses and hardware addresses are made of such numbers
  --path PATH       what is asked for (/install/)

Latency is measured from the moment at which the request was due.";

#[derive(Debug, Clone)]
pub(crate) struct Args {
    pub(crate) server: SocketAddr,
    /// Each request on a connection of its own.
    pub(crate) new: bool,
    pub(crate) connections: usize,
    pub(crate) pipeline: usize,
    pub(crate) rate: Option<f64>,
    pub(crate) time: Duration,
    pub(crate) requests: u64,
    pub(crate) first: u64,
    pub(crate) path: String,
}

impl Args {
    /// Reads the arguments without the program's name.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = Self {
            server: SocketAddr::from(([0, 0, 0, 0], 0)),
            new: false,
            connections: 64,
            pipeline: 1,
            rate: None,
            time: Duration::from_secs(5),
            requests: u64::MAX,
            first: 0,
            path: "/install/".to_owned(),
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--keep-alive" => args.new = false,
                "--new" => args.new = true,
                "--connections" => args.connections = at_least_one(&word, &value()?)?,
                "--pipeline" => args.pipeline = at_least_one(&word, &value()?)?,
                "--rate" => args.rate = Some(number::<u32>(&word, &value()?)?.max(1).into()),
                "--seconds" => args.time = Duration::from_secs(number(&word, &value()?)?),
                "--requests" => args.requests = number(&word, &value()?)?,
                "--first" => args.first = number(&word, &value()?)?,
                "--path" => args.path = value()?,
                address => {
                    args.server =
                        address.parse().map_err(|_| format!("{address} is no ADDRESS:PORT of numbers"))?;
                }
            }
        }
        if args.server.port() == 0 {
            return Err("which server? ADDRESS:PORT".to_owned());
        }
        if args.new && args.pipeline > 1 {
            return Err("--pipeline needs connections that stay open".to_owned());
        }
        Ok(args)
    }
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name} needs a number, not '{text}'"))
}

fn at_least_one(name: &str, text: &str) -> Result<usize, String> {
    Ok(number::<usize>(name, text)?.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_and_an_address_are_read() {
        let args = parse("--new --rate 1000 --seconds 2 127.0.0.1:3000 --connections 0").unwrap();
        assert_eq!((args.new, args.rate, args.time), (true, Some(1000.0), Duration::from_secs(2)));
        assert_eq!((args.server.port(), args.connections, args.path.as_str()), (3000, 1, "/install/"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, error) in [
            ("--new", "which server? ADDRESS:PORT"),
            ("--rate", "--rate needs a value"),
            ("--first x", "--first needs a number, not 'x'"),
            ("localhost:3000", "localhost:3000 is no ADDRESS:PORT of numbers"),
            ("--new --pipeline 2 127.0.0.1:1", "--pipeline needs connections that stay open"),
        ] {
            assert_eq!(parse(line).unwrap_err(), error, "{line}");
        }
    }
}
