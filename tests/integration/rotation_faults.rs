//! Credential files in every state in which a reader may find them: what was good last stays in use, a
//! warning names the file, and no call fails.

use crate::support::eventually;
use crate::support::logs;
use crate::support::pairs::Pair;
use crate::support::registrar::Standing::Good;
use crate::support::registrar::Tried;
use crate::support::rotating::{Generations, Rig};

const OLD: Tried = Tried { proof: 0, standing: Good };
const NEW: Tried = Tried { proof: 1, standing: Good };

/// A rig whose authority takes the new one already.
async fn rig(generations: Generations) -> Rig {
    let rig = Rig::start(generations).await;
    rig.registrar.rate(1, Good);
    rig
}

/// Calls go on while files change; none fails, and nothing comes to the authority but old and new.
async fn survives(rig: &Rig, changes: impl AsyncFnOnce(&Rig)) {
    let traffic = rig.traffic();
    rig.registrar.until_more(8).await;
    changes(rig).await;
    let start = rig.registrar.count();
    let in_use = |tried: &[Tried]| tried.iter().rev().take(8).filter(|t| **t == NEW).count() == 8;
    rig.registrar.until_since(start, "the new one to be in use", in_use).await;
    let (calls, failed) = traffic.end().await;
    assert!(failed.is_empty(), "{} of {calls} failed: {:?}", failed.len(), failed.first());
    assert_eq!(rig.registrar.faults(), Vec::<String>::new());
    assert!(rig.registrar.tried().iter().all(|tried| tried.standing == Good));
}

/// While a file is in a state that is no good, the old one is used; and a warning names the file.
async fn old_is_used(rig: &Rig, name: &str) {
    // Those on their way may have read the file before.
    rig.registrar.until_more(8).await;
    let start = rig.registrar.count();
    rig.registrar.until_more(8).await;
    assert!(rig.registrar.tried()[start..].iter().all(|tried| *tried == OLD), "{name}");
    let path = rig.volume.path(name);
    eventually(&format!("a warning of {path}"), || !logs::warnings(&[&path]).is_empty()).await;
}

/// The kinds of credential, two of each, and the files that each comes in.
fn kinds() -> Vec<(Generations, &'static [&'static str])> {
    vec![
        (Generations::secrets(2), &["secret"]),
        (Generations::tokens(2), &["secret"]),
        (Generations::stores(2), &["app.pfx"]),
        (Generations::pairs(2), &["tls.crt", "tls.key"]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_written_in_place_is_never_used_half() {
    // Half a secret is a text like another, which nobody but its writer can tell.
    for (generations, names) in kinds().into_iter().skip(1) {
        let rig = rig(generations).await;
        survives(&rig, async |rig| {
            for name in names {
                let old = async || old_is_used(rig, name).await;
                rig.volume.write_slowly(name, rig.content(1, name), old).await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_used_only_with_its_own_key_whichever_comes_first() {
    for [first, second] in [["tls.crt", "tls.key"], ["tls.key", "tls.crt"]] {
        let rig = rig(Generations::pairs(2)).await;
        survives(&rig, async |rig| {
            rig.volume.replace(first, rig.content(1, first));
            old_is_used(rig, first).await;
            rig.volume.replace(second, rig.content(1, second));
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_goes_away_and_comes_back_is_not_missed() {
    for (generations, names) in kinds() {
        let rig = rig(generations).await;
        survives(&rig, async |rig| {
            for name in names {
                rig.volume.remove(name);
                old_is_used(rig, name).await;
                rig.volume.replace(name, rig.content(0, name));
            }
            rig.swap(1);
            for name in names {
                rig.volume.replace(name, rig.content(1, name));
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_nonsense_or_nothing_in_the_place_of_a_file_changes_nothing() {
    for (generations, names) in kinds() {
        let rig = rig(generations).await;
        survives(&rig, async |rig| {
            for name in names {
                rig.volume.obstruct(name);
                old_is_used(rig, name).await;
                rig.volume.replace(name, [0xff, 0xfe, 0x00]);
                old_is_used(rig, name).await;
                rig.volume.replace(name, "\n");
                old_is_used(rig, name).await;
                rig.volume.replace(name, vec![b'a'; 3 << 20]);
                old_is_used(rig, name).await;
                rig.volume.replace(name, rig.content(0, name));
            }
            for name in names {
                rig.volume.replace(name, rig.content(1, name));
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pkcs12_file_of_another_password_changes_nothing() {
    let rig = rig(Generations::stores(2)).await;
    survives(&rig, async |rig| {
        rig.volume.replace("app.pfx", Pair::new().pkcs12("another"));
        old_is_used(rig, "app.pfx").await;
        rig.volume.replace("app.pfx", rig.content(1, "app.pfx"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_federated_token_that_has_expired_or_is_no_jwt_changes_nothing() {
    let rig = rig(Generations::tokens(2)).await;
    survives(&rig, async |rig| {
        for text in ["opaque", "e30.e30.c2ln", "e30.eyJleHAiOjF9.c2ln"] {
            rig.volume.replace("secret", text);
            old_is_used(rig, "secret").await;
        }
        rig.volume.replace("secret", rig.content(1, "secret"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_good_for_long_does_not_flood_the_log() {
    for (generations, names) in kinds() {
        let rig = rig(generations).await;
        let path = rig.volume.path(names[0]);
        rig.volume.remove(names[0]);
        for _ in 0..50 {
            rig.call().await;
        }
        let warnings = logs::warnings(&[&path]).len();
        assert!((1..=10).contains(&warnings), "{warnings} warnings of {path} for 50 requests");
    }
}
