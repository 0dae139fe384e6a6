//! What is signed, and what is sealed.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use kernel::{EventId, Secret, TicketId};
use platform::tokens::Seal;
use ticket::code::{Code, sign, verify};

use crate::{NOON, Once, seeded};

const KEY_ID: u32 = 0x0000_00a7;
const KEY: [u8; 32] = [7; 32];

/// The code of a ticket: signed, and verified as the door does.
pub(crate) fn ticket_code() -> Once {
    let ids = seeded();
    let key = Ed25519KeyPair::from_seed_unchecked(&KEY)
        .unwrap_or_else(|error| unreachable!("32 bytes are a key: {error}"));
    let keys = [(format!("{KEY_ID:08x}"), key.public_key().as_ref().to_vec())];
    Box::new(move || {
        let code = Code {
            ticket_id: TicketId::new(&ids, NOON),
            event_id: EventId::new(&ids, NOON),
            valid_until: NOON,
        };
        let text = sign(&code, KEY_ID, &key);
        verify(&text, &keys).map_or(0, |read| u64::from(read == code))
    })
}

/// A seal, as an admission has one: made, and opened.
pub(crate) fn seal() -> Once {
    let seal = Seal::new(&Secret::new(KEY.to_vec()));
    let until = NOON.plus(std::time::Duration::from_secs(60));
    let content = "0190a0a0-0000-7000-8000-000000000001/0190a0a0-0000-7000-8000-000000000002/17";
    Box::new(move || {
        let sealed = seal.seal("admission", content, until);
        seal.open("admission", &sealed, NOON).map_or(0, |(content, _)| content.len() as u64)
    })
}
