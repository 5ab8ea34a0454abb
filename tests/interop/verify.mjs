//! Checks a JWT access token with `jose`, an implementation that shares no code with Vicar.
//!
//!   node verify.mjs ISSUER AUDIENCE < token
//!
//! Follows the issuer's discovery document to its keys, wants RS256, `typ: at+jwt` (RFC 9068), the
//! issuer and the audience. Prints the claims as JSON; on any failure one line on stderr and
//! exit 1.

import { createRemoteJWKSet, jwtVerify } from 'jose';

const TIMEOUT_MS = 5000;

/** All of stdin, without the line end. */
async function readToken() {
  let token = '';
  for await (const chunk of process.stdin) token += chunk;
  return token.trim();
}

/** The issuer's key set, found by discovery; a document for another issuer is refused. */
async function keysOf(issuer) {
  const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const answer = await fetch(address, { redirect: 'error', signal });
  if (!answer.ok) throw new Error(`discovery answered ${answer.status}`);
  const metadata = await answer.json();
  if (metadata.issuer !== issuer) throw new Error('discovery names another issuer');
  return createRemoteJWKSet(new URL(metadata.jwks_uri), { timeoutDuration: TIMEOUT_MS });
}

try {
  const [issuer, audience] = process.argv.slice(2);
  if (!issuer || !audience) throw new Error('usage: node verify.mjs ISSUER AUDIENCE < token');
  const { payload } = await jwtVerify(await readToken(), await keysOf(issuer), {
    issuer,
    audience,
    algorithms: ['RS256'],
    typ: 'at+jwt',
    requiredClaims: ['exp', 'iat', 'sub', 'client_id', 'jti'],
  });
  process.stdout.write(`${JSON.stringify(payload)}\n`);
} catch (error) {
  console.error(`token refused: ${error.code ?? error.name}: ${error.message}`);
  process.exitCode = 1;
}
