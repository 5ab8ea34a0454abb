//! Keys of tokens on behalf of callers: different for different inputs, the same for the same.

use std::collections::HashMap;
use std::sync::LazyLock;

use fastrand::Rng;
use rustls::RootCertStore;
use url::Url;

use super::*;
use crate::authority::{
    AssertionSource, Authority, AuthorityHttp, Credential, Entra, HttpSettings, Method,
    ProxySettings, SecretMethod,
};
use crate::secret::SecretSource;
use crate::token::flow::user::TokenExchange;
use crate::token::flow::{Flow, RESERVED, Target};

/// Every input of a key, in about the order in which the key has them, so that what moves from one to its
/// neighbour moves in the key as well.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Inputs {
    texts: [String; TEXTS],
    lists: [Vec<String>; LISTS],
    choices: [u8; CHOICES],
}

const NAME: usize = 0;
const ENDPOINT: usize = 1;
const CLIENT_ID: usize = 2;
const CREDENTIAL: usize = 3;
const SUBJECT_TYPE: usize = 4;
const REQUESTED: usize = 5;
const ACTOR_TYPE: usize = 6;
const ACTOR: usize = 7;
const ISSUER: usize = 8;
const TENANT: usize = 9;
const TOKEN: usize = 10;
const TEXTS: usize = 11;

const CAPABILITIES: usize = 0;
const SCOPES: usize = 1;
const AUDIENCE: usize = 2;
const RESOURCE: usize = 3;
/// Names and values in turn.
const PARAMETERS: usize = 4;
const ACTOR_SCOPES: usize = 5;
const LISTS: usize = 6;

const AUTHORITY: usize = 0;
const METHOD: usize = 1;
const GRANT: usize = 2;
const TENANT_CHOICE: usize = 3;
const HAS_TENANT: usize = 4;
const HAS_ACTOR: usize = 5;
const HAS_REQUESTED: usize = 6;
const CHOICES: usize = 7;
/// The grant that has types of tokens.
const EXCHANGE: u8 = 2;
/// How many different things a choice may be.
const OF: [u8; CHOICES] = [4, 5, 3, 2, 2, 2, 2];

/// What a careless key would take for the end of a field, and names of fields.
const HOSTILE: [&str; 14] = [
    "",
    "",
    "\0",
    "\0\0",
    " ",
    "a",
    "b",
    "ab",
    "\u{e9}",
    "=",
    "&",
    "scope",
    "tenant",
    "capability",
];

#[test]
fn no_two_different_inputs_share_a_key_and_equal_ones_do() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    let (mut inputs_of, mut key_of) = (HashMap::new(), HashMap::new());
    let mut pairs = 0;
    while pairs < 1_000_000 {
        // Relatives differ in very little; whoever is in another family differs in more.
        let mut family = vec![Inputs::random(&mut rng)];
        for _ in 1..FAMILY {
            let relative = family[rng.usize(..family.len())].mutated(&mut rng);
            family.push(relative);
        }
        for inputs in family {
            let (key, inputs) = (inputs.key(), inputs.that_count());
            let other = inputs_of.entry(key).or_insert_with(|| inputs.clone());
            assert_eq!(*other, inputs, "different inputs share a key (seed {seed})");
            let other = key_of.entry(inputs).or_insert(key);
            assert_eq!(*other, key, "equal inputs have different keys (seed {seed})");
        }
        pairs += FAMILY * (FAMILY - 1) / 2;
    }
    assert!(key_of.len() > pairs / FAMILY, "the inputs are too much alike: {}", key_of.len());
}

const FAMILY: usize = 40;

impl Inputs {
    fn random(rng: &mut Rng) -> Self {
        let text = |rng: &mut Rng| HOSTILE[rng.usize(..HOSTILE.len())].to_owned();
        let texts = std::array::from_fn(|_| text(rng) + &text(rng));
        let lists = std::array::from_fn(|_| (0..rng.usize(..3)).map(|_| text(rng)).collect());
        let choices = OF.map(|of| rng.u8(..of));
        Self { texts, lists, choices }
    }

    /// The same but for one small thing, or, rarely, the very same.
    fn mutated(&self, rng: &mut Rng) -> Self {
        let mut new = self.clone();
        match rng.u8(..8) {
            0..3 => new.texts_differ(rng),
            3..6 => new.lists_differ(rng),
            6 => {
                let choice = rng.usize(..CHOICES);
                new.choices[choice] = rng.u8(..OF[choice]);
            }
            _ => new.move_bytes(rng),
        }
        new
    }

    /// One text is another, or two texts change places.
    fn texts_differ(&mut self, rng: &mut Rng) {
        let at = rng.usize(..TEXTS);
        if rng.bool() {
            self.texts.swap(at, rng.usize(..TEXTS));
        } else {
            self.texts[at] += HOSTILE[rng.usize(..HOSTILE.len())];
        }
    }

    /// An element comes, goes, is split in two, is joined to the next, or moves to the neighbour.
    fn lists_differ(&mut self, rng: &mut Rng) {
        let at = rng.usize(..LISTS);
        let list = &mut self.lists[at];
        if list.is_empty() {
            return list.push(HOSTILE[rng.usize(..HOSTILE.len())].to_owned());
        }
        let element = rng.usize(..list.len());
        match rng.u8(..5) {
            0 => list.insert(element, HOSTILE[rng.usize(..HOSTILE.len())].to_owned()),
            1 => drop(list.remove(element)),
            2 => {
                let cut = list[element].char_indices().nth(1).map_or(0, |(cut, _)| cut);
                let rest = list[element].split_off(cut);
                list.insert(element + 1, rest);
            }
            3 if list.len() > element + 1 => {
                let joint = ["", "\0", " "][rng.usize(..3)];
                let next = list.remove(element + 1);
                list[element] += &(joint.to_owned() + &next);
            }
            _ => {
                let moved = list.remove(element);
                self.lists[(at + 1) % LISTS].insert(0, moved);
            }
        }
    }

    /// The end of one text becomes the beginning of the next, or the other way round.
    fn move_bytes(&mut self, rng: &mut Rng) {
        let mut slots: Vec<&mut String> =
            self.texts.iter_mut().chain(self.lists.iter_mut().flatten()).collect();
        let at = rng.usize(1..slots.len());
        if rng.bool() {
            if let Some(last) = slots[at - 1].pop() {
                slots[at].insert(0, last);
            }
        } else if let Some(first) = slots[at].chars().next() {
            slots[at].remove(0);
            slots[at - 1].push(first);
        }
    }

    fn key(&self) -> CacheKey {
        let tenant = self.has(HAS_TENANT).then_some(self.texts[TENANT].as_str());
        let mut token = CacheKey::builder();
        token.field("token", self.texts[TOKEN].as_bytes());
        key_for(&self.spec().base_key(), &self.texts[ISSUER], tenant, &token.finish())
    }

    /// The same without what makes no difference to what the authority is asked.
    fn that_count(mut self) -> Self {
        let pairs = self.parameters().into_iter();
        self.lists[PARAMETERS] = pairs.flat_map(|(name, value)| [name, value]).collect();
        for scopes in [SCOPES, ACTOR_SCOPES] {
            // No scope has a space, so there is one way only to write several.
            let joined = self.lists[scopes].join(" ");
            self.lists[scopes].truncate(1);
            self.lists[scopes].iter_mut().for_each(|scope| scope.clone_from(&joined));
        }
        let authority = self.authority();
        authority.name().clone_into(&mut self.texts[ENDPOINT]);
        if authority.has_metadata() {
            self.choices[AUTHORITY] = 0;
        }
        if self.choices[GRANT] != EXCHANGE {
            self.choices[HAS_REQUESTED] = 0;
            self.texts[SUBJECT_TYPE].clear();
            self.texts[ACTOR_TYPE].clear();
        }
        if !self.has(HAS_ACTOR) {
            self.lists[ACTOR_SCOPES].clear();
        }
        for (choice, text) in [(HAS_REQUESTED, REQUESTED), (HAS_ACTOR, ACTOR), (HAS_TENANT, TENANT)]
        {
            if !self.has(choice) {
                self.texts[text].clear();
            }
        }
        self
    }

    fn has(&self, choice: usize) -> bool {
        self.choices[choice] == 1
    }

    fn spec(&self) -> UserSpec {
        let actor = self.has(HAS_ACTOR).then(|| {
            let scopes = self.lists[ACTOR_SCOPES].clone();
            let flow = Flow::ClientCredentials(Target { scopes, ..Target::default() });
            Arc::new(TokenSpec { client: Arc::new(self.client(&self.texts[ACTOR])), flow })
        });
        let tenant =
            [TenantChoice::Configured, TenantChoice::Caller][self.choices[TENANT_CHOICE] as usize];
        UserSpec {
            client: Arc::new(self.client(&self.texts[CLIENT_ID])),
            flow: self.flow(),
            tenant,
            actor,
            may_act: MayAct::Ignore,
            session: None,
            credit: Credit::default(),
        }
    }

    fn flow(&self) -> UserFlow {
        let list = |list: usize| self.lists[list].clone();
        let text = |text: usize| self.texts[text].clone();
        let target = Target {
            scopes: list(SCOPES),
            audience: list(AUDIENCE),
            resource: list(RESOURCE),
            parameters: self.parameters(),
        };
        match self.choices[GRANT] {
            EXCHANGE => UserFlow::TokenExchange(TokenExchange {
                target,
                subject_token_type: text(SUBJECT_TYPE),
                requested_token_type: self.has(HAS_REQUESTED).then(|| text(REQUESTED)),
                actor_token_type: text(ACTOR_TYPE),
            }),
            1 => UserFlow::OnBehalfOf(target),
            _ => UserFlow::JwtBearer(target),
        }
    }

    /// None that the configuration would refuse.
    fn parameters(&self) -> Vec<(String, String)> {
        let pairs = self.lists[PARAMETERS].chunks(2);
        let pairs = pairs.map(|pair| (pair[0].clone(), pair.get(1).cloned().unwrap_or_default()));
        pairs.filter(|(name, _)| !RESERVED.contains(&name.as_str())).collect()
    }

    fn client(&self, client_id: &str) -> ClientSpec {
        let text = |text: usize| self.texts[text].clone();
        let source = |is_file| {
            if is_file {
                SecretSource::file(text(CREDENTIAL))
            } else {
                let value = text(CREDENTIAL).into();
                SecretSource::Fixed { described: String::new(), value }
            }
        };
        let method = match self.choices[METHOD] {
            0 => Method::ClientAssertion(AssertionSource::Kept(source(true))),
            1 => Method::ClientAssertion(AssertionSource::Kept(source(false))),
            2 => secret(SecretMethod::Preferred, source(true)),
            3 => secret(SecretMethod::Basic, source(false)),
            _ => secret(SecretMethod::Post, source(false)),
        };
        ClientSpec {
            name: self.texts[NAME].as_str().into(),
            client_id: client_id.to_owned(),
            credentials: vec![Credential::new(method)],
            authority: self.authority(),
            capabilities: self.lists[CAPABILITIES].clone(),
            max_in_flight: 1,
            warm_up: false,
        }
    }

    fn authority(&self) -> Authority {
        static TLS: LazyLock<rustls::ClientConfig> = LazyLock::new(|| {
            crate::tls::client(RootCertStore::empty().into(), None).expect("settings")
        });
        let (proxy, connect) = (ProxySettings::default(), Duration::from_secs(1));
        let settings = HttpSettings { tls: TLS.clone(), proxy, connect, total: connect };
        let http = AuthorityHttp::new(&settings, None).expect("a client");
        let host = Url::parse("https://h.test/").expect("a URL");
        let (tenant, issuer) = (format!("t{}", self.texts[ENDPOINT]), self.texts[ENDPOINT].clone());
        // The very address that the third kind has by its construction.
        let url = host.join(&format!("/{tenant}/oauth2/v2.0/token")).expect("a URL");
        match self.choices[AUTHORITY] {
            0 => Authority::oidc(issuer, http),
            1 => Authority::bare(url, http),
            2 => Authority::entra(Entra::new(&host, &tenant, None).expect("a URL"), http),
            _ => Authority::oidc(url.into(), http),
        }
    }
}

fn secret(how: SecretMethod, source: SecretSource) -> Method {
    Method::ClientSecret { how, source }
}
