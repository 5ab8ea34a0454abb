//! Takes client assertions apart with `jose` and the certificate with Node's own cryptography,
//! neither of which shares code with Vicar.
//!
//!   node verify_assertions.mjs < lines of JSON
//!
//! Every line is {"assertion", "chain" (the paths of PEM files, the signer's first), "algorithm",
//! "client_id", "audience"}. Answers each with one line of JSON on stdout: {"header", "claims",
//! "chain": the digests and the text of each certificate, {"sha1", "sha256", "der"}}, or
//! {"refused": why}. What RFC 7523 section 3 asks for is checked here.

import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { jwtVerify } from 'jose';

/** A certificate, its digests as RFC 7515 sections 4.1.7 and 4.1.8 want them and its text as 4.1.6. */
function describe({ raw }) {
  const digest = (name) => createHash(name).update(raw).digest('base64url');
  return { sha1: digest('sha1'), sha256: digest('sha256'), der: raw.toString('base64') };
}

/** What is to be said about one assertion. */
async function judge({ assertion, chain, algorithm, client_id, audience }) {
  const certificates = chain.map((path) => new X509Certificate(readFileSync(path)));
  const { payload, protectedHeader } = await jwtVerify(assertion, certificates[0].publicKey, {
    algorithms: [algorithm],
    audience,
    issuer: client_id,
    subject: client_id,
    typ: 'JWT',
    maxTokenAge: '60s',
    requiredClaims: ['exp', 'iat', 'jti'],
  });
  return { header: protectedHeader, claims: payload, chain: certificates.map(describe) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const refused = (error) => ({ refused: `${error.code ?? error.name}: ${error.message}` });
  console.log(JSON.stringify(await judge(JSON.parse(line)).catch(refused)));
}
