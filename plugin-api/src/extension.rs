//! Abilities that 1.0 did not know.

use abi_stable::{
    abi_stability::abi_checking::check_layout_compatibility,
    marker_type::ErasedPrefix,
    prefix_type::{PrefixRef, PrefixRefTrait},
    type_layout::TypeLayout,
    StableAbi,
};

/// A capability that did not exist in 1.0, found by its identifier. FROZEN.
///
/// The layout travels with the pointer, so that [`Extension::cast`] checks it whichever side is the newer one.
#[repr(C)]
#[derive(StableAbi, Copy, Clone)]
pub struct Extension {
    layout: &'static TypeLayout,
    pointer: PrefixRef<ErasedPrefix>,
}

impl Extension {
    /// Wraps a prefix type, for [`HostServices::get_extension`](crate::HostServices) or the root module.
    pub fn new<M: PrefixRefTrait + StableAbi + 'static>(module: M) -> Self {
        // SAFETY: the pointee is 'static, and `cast` is the only way back; it compares the layouts first.
        let pointer = unsafe { module.to_prefix_ref().cast() };
        Self { layout: <M as StableAbi>::LAYOUT, pointer }
    }

    /// The extension as `M`, or `None` when its layout is not the one that this side was built with.
    pub fn cast<M: PrefixRefTrait + StableAbi + 'static>(self) -> Option<M> {
        check_layout_compatibility(<M as StableAbi>::LAYOUT, self.layout).ok()?;
        // SAFETY: the layouts have just been found compatible.
        Some(unsafe { M::from_prefix_ref(self.pointer.cast::<M::PrefixFields>()) })
    }
}
