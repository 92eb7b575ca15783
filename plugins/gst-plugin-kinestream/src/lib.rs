//! The loadable GStreamer plugin: registers the `kine*` elements of the `kinestream` crate.

// The items that need no documentation are made by `plugin_define!`.
#![allow(missing_docs)]

fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    kinestream::gst::register(Some(plugin))
}

gst::plugin_define!(
    kinestream,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "Apache 2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);
