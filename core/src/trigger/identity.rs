//! What tells machines apart: hardware addresses, and what the firmware tells. Each is one text however it was written.

use crate::net::neighbours::mac_of;

/// Serial numbers that mean that there is none, without what is no letter or digit.
const NO_SERIALS: [&str; 34] = [
    "tobefilledbyoem",
    "tobefilledbyoemserialnumber",
    "filledbyoem",
    "oem",
    "default",
    "defaultstring",
    "defaultvalue",
    "none",
    "null",
    "notspecified",
    "unspecified",
    "notapplicable",
    "notavailable",
    "notpresent",
    "notprovided",
    "notsettable",
    "na",
    "nil",
    "tbd",
    "empty",
    "invalid",
    "undefined",
    "unknown",
    "unknow",
    "serial",
    "serialnumber",
    "systemserialnumber",
    "chassisserialnumber",
    "baseboardserialnumber",
    "boardserialnumber",
    "mbserialnumber",
    "sernum0",
    "productserial",
    "insydeserial",
];
/// UUIDs that vendors have put into all of their boards, without hyphens.
const NO_UUIDS: [&str; 9] = [
    "03000200040005000006000700080009",
    "00020003000400050006000700080009",
    "123456781234567890abcddeefaabbcc",
    "785634123412785690abcddeefaabbcc",
    "0123456789abcdef0123456789abcdef",
    "000102030405060708090a0b0c0d0e0f",
    "12345678123456781234567812345678",
    "4c4c454400002010802080c04f202020",
    "00000000000000000000000000000001",
];
/// What is counted up or down is no serial number.
const COUNTED: [&str; 4] =
    ["0123456789abcdefghijklmnopqrstuvwxyz", "1234567890", "9876543210", "abcdefghijklmnopqrstuvwxyz"];

/// A hardware address in lower case with colons. It may be written with colons, hyphens, dots or nothing between its bytes,
/// and with the `01-` in front that PXELINUX puts there (`BOOTIF=`). It has 6 bytes, or those of InfiniBand: 8 or 20.
/// All zeros, and groups, stand for no machine.
pub(super) fn normal_mac(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix("01-").filter(|rest| rest.len() == 17 && rest.contains('-')).unwrap_or(text);
    let separator = text.chars().find(|c| !c.is_ascii_hexdigit());
    if separator.is_some_and(|c| !":-.".contains(c)) {
        return None;
    }
    let parts: Vec<&str> = separator.map_or_else(|| vec![text], |c| text.split(c).collect());
    let is_hex = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_hexdigit());
    if !parts.iter().all(is_hex) {
        return None;
    }
    let length = parts.first()?.len();
    let mut digits = String::new();
    if length.is_multiple_of(2) && parts.iter().all(|part| part.len() == length) {
        digits.extend(parts);
    } else if parts.iter().all(|part| part.len() <= 2) {
        // Some systems leave leading zeros out.
        parts.iter().for_each(|part| digits.push_str(&format!("{part:0>2}")));
    } else {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    mac_of(&(0..digits.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?)
}

/// What stands for a machine besides its hardware addresses: product UUID and serial number together (SMBIOS, type 1).
/// `None` if one of them is missing, or is what vendors write where they write nothing.
pub(super) fn hardware_of(uuid: &str, serial: &str) -> Option<String> {
    let (uuid, serial) = (bare(uuid), bare(serial));
    let is_junk = |text: &str| {
        // One character or two again and again: all zeros, all F, `FEFEFE`, `XXXX`.
        let mut bytes = text.bytes().zip(text.bytes().skip(2));
        text.is_empty() || (text.len() > 2 && bytes.all(|(one, other)| one == other))
    };
    let is_zero = serial.bytes().all(|b| b == b'0');
    let counted = serial.len() >= 4 && COUNTED.iter().any(|row| row.contains(serial.as_str()));
    if is_junk(&uuid)
        || is_junk(&serial)
        || is_zero
        || counted
        || is_word(&serial)
        || is_word(&uuid)
        || NO_UUIDS.contains(&uuid.as_str())
    {
        return None;
    }
    Some(format!("{uuid}/{serial}"))
}

/// True for a key that is a hardware address, and not UUID and serial number.
pub(super) fn is_mac(key: &str) -> bool {
    key.contains(':')
}

fn is_word(text: &str) -> bool {
    NO_SERIALS.contains(&text)
}

/// Letters and digits only, in lower case: what one program writes with hyphens or blanks another one writes without.
fn bare(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hardware_address_is_one_value_however_it_is_written() {
        for text in [
            "52:54:00:ab:cd:01",
            "52-54-00-AB-CD-01",
            "01-52-54-00-ab-cd-01",
            "5254.00ab.cd01",
            "5254-00AB-CD01",
            "52.54.00.ab.cd.01",
            "525400ABCD01",
            "525400-abcd01",
            "52:54:0:ab:cd:1",
            " 52:54:00:ab:cd:01\n",
        ] {
            assert_eq!(normal_mac(text).as_deref(), Some("52:54:00:ab:cd:01"), "{text}");
        }
        // InfiniBand: a port, and a whole link-layer address.
        assert_eq!(normal_mac("00-02-c9-03-00-00-10-39").as_deref(), Some("00:02:c9:03:00:00:10:39"));
        assert!(normal_mac(&["80", "fe"].repeat(10).join(":")).is_some());
    }

    #[test]
    fn what_is_no_hardware_address_is_none() {
        for text in [
            "",
            "2",
            "+2",
            "+2:54:00:ab:cd:01",
            "52:54:00:ab:cd",
            "01:52:54:00:ab:cd:01",
            "02-52-54-00-ab-cd-01",
            "01-01-52-54-00-ab-cd-01-",
            "52:54-00:ab-cd:01",
            "52:54:00:ab:cd:001",
            "52:54:00:ab:cd:",
            ":52:54:00:ab:cd:01",
            "525400abcd1",
            "525400abcd0102",
            "52 54 00 ab cd 01",
            "g2:54:00:ab:cd:01",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            "\u{665}2:54:00:ab:cd:01",
        ] {
            assert_eq!(normal_mac(text), None, "{text}");
        }
    }

    const UUID: &str = "4c4c4544-0042-3510-8051-b4c04f3a1b2c";

    #[test]
    fn uuid_and_serial_number_stand_for_a_machine_together() {
        let known = hardware_of(UUID, "S1").unwrap();
        for (uuid, serial) in [
            (UUID.to_uppercase(), " s1 ".to_owned()),
            (format!("{{{UUID}}}"), "S-1".to_owned()),
            (UUID.replace('-', ""), "S1\t".to_owned()),
        ] {
            assert_eq!(hardware_of(&uuid, &serial).as_ref(), Some(&known), "{uuid} {serial}");
        }
        assert_ne!(hardware_of(UUID, "S2").as_ref(), Some(&known));
        assert!(hardware_of(UUID, "00000017").is_some());
    }

    #[test]
    fn what_vendors_write_into_every_board_stands_for_no_machine() {
        for serial in [
            "",
            "   ",
            "0",
            "00000000",
            "FFFFFFFF",
            "xxxxxxxx",
            "........",
            "To be filled by O.E.M.",
            "To Be Filled By O.E.M",
            "TO BE FILLED BY OEM",
            "Default string",
            "None",
            "N/A",
            "Not Specified",
            "Not  Specified ",
            "Not Applicable",
            "System Serial Number",
            "Chassis Serial Number",
            "0123456789",
            "1234567890",
            "123456789",
            "12345678",
            "0123456789ABCDEF",
            "Unknown",
        ] {
            assert_eq!(hardware_of(UUID, serial), None, "{serial:?}");
        }
        for uuid in [
            "",
            "00000000-0000-0000-0000-000000000000",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "fefefefe-fefe-fefe-fefe-fefefefefefe",
            "03000200-0400-0500-0006-000700080009",
            "03000200-0400-0500-0006-000700080009 ",
            "00020003-0004-0005-0006-000700080009",
            "12345678-1234-5678-90AB-CDDEEFAABBCC",
            "Not Settable",
            "To be filled by O.E.M.",
        ] {
            assert_eq!(hardware_of(uuid, "S1"), None, "{uuid:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_in_normal_form_or_none(text in "\\PC{0,24}|[0-9a-fA-F:.+-]{0,24}") {
            if let Some(mac) = normal_mac(&text) {
                prop_assert_eq!(normal_mac(&mac), Some(mac.clone()));
                prop_assert!([17, 23, 59].contains(&mac.len()));
            }
        }

        #[test]
        fn no_text_of_the_firmware_does_harm(uuid in "\\PC{0,40}", serial in "\\PC{0,40}") {
            if let Some(key) = hardware_of(&uuid, &serial) {
                prop_assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'/'));
            }
        }
    }
}
