//! Judges tokens with `jose`, an implementation that shares no code with Vicar.
//!
//!   node verify_many.mjs < lines of JSON
//!
//! The first line says what to verify against: {"issuer", "audience", "algorithms", "tolerance",
//! "now", "jwks"}. Every further line is a token as a JSON text. Answers each with one line on
//! stdout, `accepted` or `refused` and the reason.

import { createInterface } from 'node:readline';
import { createLocalJWKSet, jwtVerify } from 'jose';

let keys;
let options;

/** The judgement on one token. */
async function judge(token) {
  try {
    await jwtVerify(token, keys, options);
    return 'accepted';
  } catch (error) {
    return `refused ${error.code ?? error.name}`;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (options) {
    process.stdout.write(`${await judge(message)}\n`);
  } else {
    const { issuer, audience, algorithms, tolerance, now, jwks } = message;
    keys = createLocalJWKSet(jwks);
    options = {
      issuer,
      audience,
      algorithms,
      clockTolerance: tolerance,
      currentDate: new Date(now * 1000),
      // `iss` and `aud` are required by naming them; without `exp` a token would live for ever.
      requiredClaims: ['exp'],
    };
  }
}
