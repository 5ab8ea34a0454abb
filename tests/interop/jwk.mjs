//! Prints the private key of a PEM file as a JWK, as Node's own cryptography writes it.
//!
//!   node jwk.mjs FILE KEY_ID

import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';

const [file, kid] = process.argv.slice(2);
const jwk = createPrivateKey(readFileSync(file)).export({ format: 'jwk' });
console.log(JSON.stringify({ ...jwk, kid }));
