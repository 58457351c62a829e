//! Who could change what lies at the end of a path: rules over the components of the path, without a look at the disk.

use super::Flaw;

/// What a component of a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComponentKind {
    /// A directory.
    Directory,
    /// A symbolic link, which is followed.
    Link,
    /// A character device such as `/dev/null`: what is written to it is not what is read from it.
    Device,
    /// A file, or what is none of these.
    File,
}

/// One component of a path, as fstat(2) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// What it is.
    pub kind: ComponentKind,
    /// The number of its owner.
    pub owner: u32,
    /// Permission bits, with the sticky bit.
    pub mode: u32,
}

/// What a directory is for, at the place in the path where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// One name in it is looked up, and what has that name is judged in its turn.
    Passed,
    /// All that is in it counts, or names are made in it that others can foresee.
    Filled,
}

/// Why others than root and `user` could change `component`, or what is found by it.
///
/// In a sticky directory such as `/tmp` others can add names, but not rename or remove those of other owners. That is good
/// enough where one name is looked up and its owner judged, and not where every name counts. The permissions of a
/// symbolic link mean nothing, and those to write to a device do no harm; its owner could have made it lead elsewhere.
pub fn flaw(component: &Component, used: Use, user: u32) -> Option<Flaw> {
    if component.owner != 0 && component.owner != user {
        return Some(Flaw::Owner);
    }
    let others_write = component.mode & 0o022 != 0
        && matches!(component.kind, ComponentKind::Directory | ComponentKind::File);
    let guarded =
        component.kind == ComponentKind::Directory && component.mode & 0o1000 != 0 && used == Use::Passed;
    (others_write && !guarded).then_some(Flaw::Writable)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USER: u32 = 1000;

    #[test]
    fn the_table() {
        use ComponentKind::{Device, Directory, File, Link};
        use Use::{Filled, Passed};
        for (kind, owner, mode, used, expected) in [
            (Directory, 0, 0o755, Passed, None),
            (Directory, USER, 0o700, Filled, None),
            (Directory, 1001, 0o755, Passed, Some(Flaw::Owner)),
            (Directory, 1001, 0o1777, Passed, Some(Flaw::Owner)),
            (Directory, 0, 0o1777, Passed, None),
            (Directory, 0, 0o1775, Passed, None),
            (Directory, 0, 0o1777, Filled, Some(Flaw::Writable)),
            (Directory, 0, 0o775, Passed, Some(Flaw::Writable)),
            (Directory, 0, 0o2757, Passed, Some(Flaw::Writable)),
            (File, USER, 0o644, Filled, None),
            (File, USER, 0o664, Filled, Some(Flaw::Writable)),
            (File, 0, 0o1666, Passed, Some(Flaw::Writable)),
            (File, 65534, 0o444, Passed, Some(Flaw::Owner)),
            (Link, 0, 0o777, Passed, None),
            (Link, USER, 0o777, Filled, None),
            (Link, 1001, 0o777, Passed, Some(Flaw::Owner)),
            (Device, 0, 0o666, Passed, None),
            (Device, 1001, 0o620, Passed, Some(Flaw::Owner)),
        ] {
            let component = Component { kind, owner, mode };
            assert_eq!(flaw(&component, used, USER), expected, "{component:?} {used:?}");
        }
    }

    fn component() -> impl Strategy<Value = Component> {
        let kind = prop_oneof![
            Just(ComponentKind::Directory),
            Just(ComponentKind::Link),
            Just(ComponentKind::Device),
            Just(ComponentKind::File)
        ];
        let owner = prop_oneof![Just(0), Just(USER), any::<u32>()];
        (kind, owner, 0u32..0o10000).prop_map(|(kind, owner, mode)| Component { kind, owner, mode })
    }

    proptest! {
        /// Root trusts no more than a user does, and what may be filled may be passed.
        #[test]
        fn less_is_trusted_by_root_and_where_every_name_counts(component in component()) {
            if flaw(&component, Use::Passed, 0).is_none() {
                prop_assert_eq!(flaw(&component, Use::Passed, USER), None);
            }
            if flaw(&component, Use::Filled, USER).is_none() {
                prop_assert_eq!(flaw(&component, Use::Passed, USER), None);
            }
        }

        #[test]
        fn what_others_own_or_can_write_is_never_trusted(component in component()) {
            let theirs = component.owner != 0 && component.owner != USER;
            let open = component.kind == ComponentKind::File && component.mode & 0o022 != 0;
            prop_assert!(!(theirs || open) || flaw(&component, Use::Passed, USER).is_some());
        }
    }
}
