//! What a machine tells of itself in the body of its request. All of it is checked here: it ends up in files that ssh
//! reads, on pages and on terminals.

use serde::{Deserialize, Serialize};

use super::identity::{hardware_of, normal_mac};

/// Longest serial number or UUID.
const TEXT_MAX: usize = 128;
/// Longest ssh host key; one of RSA with 16384 bits has 2,800 characters.
const KEY_MAX: usize = 4096;
/// Longest list of them; those that sshd makes have 1.5 KiB together.
const KEYS_LENGTH_MAX: usize = 8 * 1024;
/// Most ssh host keys.
const KEYS_MAX: usize = 16;

/// The facts; every one of them may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Hardware address, in lower case with colons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// UUID of the firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Serial number of the firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Public ssh host keys, each `TYPE BASE64`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh_host_keys: Vec<String>,
}

/// Why a body tells no facts.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// Not JSON, or of other types.
    #[error("the body is not the JSON object that is expected")]
    Json(#[source] serde_json::Error),
    /// A value that cannot be one.
    #[error("{0} is not {1}")]
    Value(&'static str, &'static str),
}

impl Facts {
    /// Reads the body of a request. An empty one has no facts. Members that are not known here are passed over.
    ///
    /// # Errors
    ///
    /// It is no JSON object, or a value is not what its name says.
    pub fn parse(body: &[u8]) -> Result<Self, FactsError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        // Not straight into the struct: serde takes an array for one, too.
        let mut body: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&String::from_utf8_lossy(body)).map_err(FactsError::Json)?;
        // Many writers of JSON have null for what is not there.
        body.retain(|_, value| !value.is_null());
        let facts: Self = serde_json::from_value(body.into()).map_err(FactsError::Json)?;
        facts.checked()
    }

    /// Product UUID and serial number as one text, if both are there and are not what a vendor writes into all boards.
    pub(super) fn hardware(&self) -> Option<String> {
        hardware_of(self.uuid.as_deref()?, self.serial.as_deref()?)
    }

    fn checked(mut self) -> Result<Self, FactsError> {
        self.mac = match self.mac.filter(|mac| !mac.is_empty()) {
            Some(mac) => Some(normal_mac(&mac).ok_or(FactsError::Value("mac", "a hardware address"))?),
            None => None,
        };
        for (name, text) in [("uuid", &mut self.uuid), ("serial", &mut self.serial)] {
            let Some(value) = text.take().filter(|value| !value.trim().is_empty()) else { continue };
            if value.len() > TEXT_MAX || value.chars().any(char::is_control) {
                return Err(FactsError::Value(name, "a line of at most 128 bytes"));
            }
            // Some firmware has bytes here that are no text; it should not keep a machine from being installed.
            *text = Some(value.trim().chars().map(|c| if is_visible(c) { c } else { '?' }).collect());
        }
        if self.ssh_host_keys.len() > KEYS_MAX {
            return Err(FactsError::Value("ssh_host_keys", "a list of at most 16 keys"));
        }
        if self.ssh_host_keys.iter().map(String::len).sum::<usize>() > KEYS_LENGTH_MAX {
            return Err(FactsError::Value("ssh_host_keys", "a list of at most 8 KiB"));
        }
        for key in &mut self.ssh_host_keys {
            *key = public_key(key)
                .ok_or(FactsError::Value("an entry of ssh_host_keys", "a public key, TYPE BASE64"))?;
        }
        Ok(self)
    }
}

fn is_visible(c: char) -> bool {
    c == ' ' || c.is_ascii_graphic()
}

/// `TYPE BASE64` without comment; `None` if it is anything else, such as a marker of known_hosts(5) in front.
fn public_key(text: &str) -> Option<String> {
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let (kind, key) = (words.next()?, words.next()?);
    let is_kind = kind.starts_with(|c: char| c.is_ascii_lowercase())
        && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.@".contains(&b));
    let is_key = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    (text.len() <= KEY_MAX && !text.contains(char::is_control) && is_kind && is_key)
        .then(|| format!("{kind} {key}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_agent_sends_is_read() {
        let body = br#"{"mac":"52-54-00-AB-cd-01","uuid":"4c4c","serial":" ","more":[1],
            "ssh_host_keys":["ssh-ed25519 AAAAC3Nza root@preos","ecdsa-sha2-nistp256  AAAAE2Vj=="]}"#;
        let facts = Facts::parse(body).unwrap();
        assert_eq!(facts.mac.as_deref(), Some("52:54:00:ab:cd:01"));
        assert_eq!((facts.uuid.as_deref(), facts.serial), (Some("4c4c"), None));
        assert_eq!(facts.ssh_host_keys, ["ssh-ed25519 AAAAC3Nza", "ecdsa-sha2-nistp256 AAAAE2Vj=="]);
        assert_eq!(Facts::parse(b" \n").unwrap(), Facts::default());
        assert_eq!(Facts::parse(b"{}").unwrap(), Facts::default());
        let nulls = br#"{"mac":null,"uuid":null,"serial":null,"ssh_host_keys":null,"other":null}"#;
        assert_eq!(Facts::parse(nulls).unwrap(), Facts::default());
    }

    #[test]
    fn firmware_may_have_any_bytes_in_its_serial_number() {
        let facts = Facts::parse(b"{\"serial\":\"S\xff\xe2\x80\xae1\"}").unwrap();
        assert_eq!(facts.serial.as_deref(), Some("S??1"));
    }

    #[test]
    fn what_would_be_something_else_in_a_file_of_ssh_is_refused() {
        for key in [
            "@cert-authority * ssh-rsa AAAA",
            "ssh-rsa AAAA\\n* ssh-rsa BBBB",
            "ssh-rsa",
            "",
            "* ssh-rsa AAAA",
            "ssh-rsa AA\\tAA",
            "ssh-rsa A,B",
        ] {
            let body = format!(r#"{{"ssh_host_keys":["{key}"]}}"#);
            assert!(Facts::parse(body.as_bytes()).is_err(), "{key}");
        }
    }

    #[test]
    fn values_that_cannot_be_are_refused_in_one_sentence() {
        for (body, error) in [
            (r#"{"mac":"52:54:00:ab:cd"}"#, "mac is not a hardware address"),
            (r#"{"mac":"00:00:00:00:00:00"}"#, "mac is not a hardware address"),
            (r#"{"mac":"ff:ff:ff:ff:ff:ff"}"#, "mac is not a hardware address"),
            (r#"{"serial":"a\u001bb"}"#, "serial is not a line of at most 128 bytes"),
            (r#"["mac"]"#, "the body is not the JSON object that is expected"),
            (r#"{"mac":5}"#, "the body is not the JSON object that is expected"),
            ("mac=1", "the body is not the JSON object that is expected"),
        ] {
            assert_eq!(Facts::parse(body.as_bytes()).unwrap_err().to_string(), error);
        }
    }

    proptest! {
        #[test]
        fn no_panic_and_nothing_odd_on_any_body(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Facts::parse(&body);
        }

        #[test]
        fn keys_are_two_words_of_one_line(key in "\\PC{0,40}|[a-z]+ [A-Za-z0-9]+( .*)?") {
            if let Some(key) = public_key(&key) {
                prop_assert_eq!(key.split(' ').count(), 2);
                prop_assert!(!key.contains(['\n', '\r', '*', ',']) && !key.starts_with(['@', '#', '|']));
            }
        }
    }
}
