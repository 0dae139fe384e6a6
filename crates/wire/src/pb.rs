//! Code generated from `proto/`, one module per package.
#![expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "the generator's taste: `allow` without a reason, and a whole service in one function"
)]

macro_rules! package {
    ($noun:ident, $name:literal) => {
        pub mod $noun {
            pub mod v1 {
                tonic::include_proto!($name);
                include!(concat!(env!("OUT_DIR"), "/", $name, ".client.rs"));
            }
        }
    };
}

package!(auth, "boxoffice.auth.v1");
package!(booking, "boxoffice.booking.v1");
package!(booking_worker, "boxoffice.booking_worker.v1");
package!(email_worker, "boxoffice.email_worker.v1");
package!(event, "boxoffice.event.v1");
package!(kernel, "boxoffice.kernel.v1");
package!(payment, "boxoffice.payment.v1");
package!(realtime, "boxoffice.realtime.v1");
package!(ticket, "boxoffice.ticket.v1");
package!(user, "boxoffice.user.v1");

/// Whether a field is left out of its message's JSON form.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Descriptors of all contracts, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
