//! A certified authority (npm oidc-provider) on a free loopback port, for tests/interop/main.rs.
//!
//!   node provider.mjs [FILE]
//!
//! With a file it knows the clients of `certified_clients.mjs` as well, and has a second port where
//! it asks for certificates.
//!
//! Prints one line of JSON on stdout when it listens: issuer, endpoints, resources, scope, the
//! words it adds to refusals and the registered clients. It leaves when its stdin closes, so that
//! it cannot outlive a killed test.
//!
//! A resource has to be asked for (RFC 8707), and each one has tokens of its own kind: signed with
//! one algorithm (RFC 9068), or opaque, so that only introspection (RFC 7662) can read them.
//!
//! Beside the provider's own routes, for assertions about what Vicar sent:
//!   GET /_count   {"token_requests": n}
//!   GET /_last    the last token request: header names, authentication, form without secrets,
//!                 and how it was answered
//! and for tokens that would need a person at a browser, made by the provider's own models:
//!   GET /_person  {"token": an access token that a person allowed a client to have}
//!   GET /_login   {"token": an ID token of the same}; with ?hash=1 it has an `at_hash`

import { once } from 'node:events';
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import * as certified from './certified_clients.mjs';

// Stdout carries one line only, and the provider announces its development settings through here.
console.info = console.warn = () => {};
const { Provider, errors } = await import('oidc-provider');

const RESOURCE = 'https://reports.example/';
// One resource server for each kind of token.
const RESOURCES = {
  RS256: RESOURCE,
  ES256: 'https://orders.example/',
  EdDSA: 'https://invoices.example/',
  opaque: 'https://payments.example/',
};
const SCOPES = 'reports.read reports.write';
// Added to every refusal, so that a test can tell the authority's words from Vicar's own.
const WORDS = 'words of the authority';
const SECRET_FIELDS = ['client_secret', 'client_assertion'];

// RFC 6749 appendix A allows only %x20-7E here (the provider refuses the rest). `%`, `+` and `%2B`
// in the secrets and `:` in the ids arrive wrong unless they were form-encoded (section 2.3.1).
// The canary looks the same in every encoding of a log or an answer.
const CLIENTS = {
  client_secret_basic: {
    id: 'reports:basic 1+1=2 & 100%',
    secret: 's3cr%t:+ &/=?%2B;"canary5b1e-basic\\',
  },
  client_secret_post: {
    id: 'reports:post 1+1=2 & 100%',
    secret: 's3cr%t:+ &/=?%2B;"canary5b1e-post\\',
  },
};

// Who logs in where a person is needed.
const PERSON = 'a-person';

const seen = { token_requests: 0, last: null };

/** The two halves of a Basic credential as sent, still encoded, or null. */
function basicHalves(authorization) {
  const [, encoded] = /^basic ([A-Za-z0-9+/=]+)$/i.exec(authorization ?? '') ?? [];
  return encoded ? Buffer.from(encoded, 'base64').toString('latin1').split(':') : null;
}

/** Names every way in which the client authenticated; more than one breaks RFC 6749 section 2.3. */
function authenticationOf(headers, form) {
  const ways = [];
  const { authorization } = headers;
  if (authorization) ways.push(basicHalves(authorization) ? 'client_secret_basic' : 'unknown');
  if (form.client_secret !== undefined) ways.push('client_secret_post');
  if (form.client_assertion !== undefined) ways.push('private_key_jwt');
  return ways;
}

/** Whether id and secret hold nothing that form-encoding would have escaped; null without Basic. */
function isFormEncoded(authorization) {
  const halves = basicHalves(authorization);
  const encoded = /^(?:[A-Za-z0-9*._~+-]|%[0-9A-Fa-f]{2})+$/;
  return halves && halves.length === 2 && halves.every((half) => encoded.test(half));
}

/** What may be shown of a token request and its answer: never a secret, never a token. */
function describe(ctx) {
  const form = { ...ctx.oidc?.body };
  const withheld = SECRET_FIELDS.filter((field) => field in form);
  const description = {
    headers: ctx.req.rawHeaders.filter((_, index) => index % 2 === 0),
    content_type: ctx.headers['content-type'] ?? null,
    authentication: authenticationOf(ctx.headers, form),
    basic_form_encoded: isFormEncoded(ctx.headers.authorization),
    certificate: certified.shown(ctx)?.fingerprint256 ?? null,
    tls: Boolean(ctx.socket.encrypted),
    withheld,
    status: ctx.status,
    error: ctx.body?.error ?? null,
    error_description: ctx.body?.error_description ?? null,
  };
  for (const field of withheld) delete form[field];
  return { ...description, form };
}

/** What a person would get at the end of a login, without the browser in between. */
const made = {
  '/_person': async (authority, client) => {
    const grant = new authority.Grant({ accountId: PERSON, clientId: client.clientId });
    grant.addResourceScope(RESOURCE, SCOPES);
    const token = new authority.AccessToken({
      accountId: PERSON,
      client,
      grantId: await grant.save(),
      scope: 'reports.read',
    });
    const server = resourceServer(undefined, RESOURCE);
    token.resourceServer = new authority.ResourceServer(RESOURCE, server);
    return token.save();
  },
  '/_login': async (authority, client, { hash }) => {
    const token = new authority.IdToken({ sub: PERSON }, { client });
    token.scope = 'openid';
    if (hash) token.set('at_hash', 'an access token');
    return token.issue({ use: 'idtoken' });
  },
};

/** Answers the pages of this file and keeps the record of token requests. */
async function record(authority, ctx, next) {
  if (ctx.path === '/_count') {
    ctx.body = { token_requests: seen.token_requests };
  } else if (ctx.path === '/_last') {
    ctx.body = JSON.stringify(seen.last);
    ctx.type = 'json';
  } else if (ctx.path in made) {
    const client = await authority.Client.find(CLIENTS.client_secret_post.id);
    ctx.body = { token: await made[ctx.path](authority, client, ctx.query) };
  } else if (ctx.path === '/token' && ctx.method === 'POST') {
    seen.token_requests += 1;
    await next();
    const description = ctx.body?.error_description;
    if (description) ctx.body = { ...ctx.body, error_description: `${description} (${WORDS})` };
    seen.last = describe(ctx);
  } else {
    await next();
  }
}

/** A resource server: JWT access tokens (RFC 9068) signed with its algorithm, or opaque ones. */
function resourceServer(_ctx, resource) {
  const [kind] = Object.entries(RESOURCES).find(([, known]) => known === resource) ?? [];
  if (!kind) throw new errors.InvalidTarget();
  const server = { scope: SCOPES, audience: resource, accessTokenTTL: 600 };
  return kind === 'opaque'
    ? { ...server, accessTokenFormat: 'opaque' }
    : { ...server, accessTokenFormat: 'jwt', jwt: { sign: { alg: kind } } };
}

/** One confidential client for client_credentials; the empty lists say that it has no browser. */
function registration([method, { id, secret }]) {
  return {
    client_id: id,
    client_secret: secret,
    token_endpoint_auth_method: method,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  };
}

/** A signing key made for this run. */
async function signingKey(alg) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: `interop-${alg}` };
}

/** The provider behind `issuer`, with a key for each algorithm and what is there `besides`. */
async function provider(issuer, besides) {
  const algorithms = Object.keys(RESOURCES).filter((kind) => kind !== 'opaque');
  const authority = new Provider(issuer, {
    clients: [...Object.entries(CLIENTS).map(registration), ...besides.clients],
    clientAuthMethods: [...Object.keys(CLIENTS), ...besides.clientAuthMethods],
    discovery: besides.discovery,
    jwks: { keys: await Promise.all(algorithms.map(signingKey)) },
    ttl: {
      ClientCredentials: (_ctx, _token, { clientId }) => besides.lifetimes[clientId] ?? 600,
    },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: resourceServer,
      },
      revocation: { enabled: true },
      ...besides.features,
    },
  });
  authority.on('server_error', (_ctx, error) => console.error(error));
  authority.use((ctx, next) => record(authority, ctx, next));
  return authority;
}

/** Listens on a free loopback port; the port. */
async function listen(server) {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server.address().port;
}

const [file] = process.argv.slice(2);
const server = createServer();
const issuer = `http://127.0.0.1:${await listen(server)}`;
let besides = { clients: [], clientAuthMethods: [], discovery: {}, features: {}, lifetimes: {} };
const servers = [server];
if (file) {
  const known = certified.load(file);
  servers.push(certified.mutualTlsServer(known));
  besides = certified.configuration(known, `https://localhost:${await listen(servers[1])}`);
}
const answer = (await provider(issuer, besides)).callback();
for (const each of servers) each.on('request', answer);
const ready = {
  issuer,
  token_endpoint: `${issuer}/token`,
  mtls_token_endpoint: besides.discovery.mtls_endpoint_aliases?.token_endpoint,
  resource: RESOURCE,
  resources: RESOURCES,
  scope: 'reports.read',
  words: WORDS,
  clients: CLIENTS,
};
process.stdout.write(`${JSON.stringify(ready)}\n`);
process.stdin.on('close', () => process.exit(0)).resume();
