import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fromBase64, toBase64, utf8 } from '#shared/bytes.ts';
import { preAuthEncoding, sealEnvelope } from '#shared/crypto/dsse.ts';
import { STATEMENT_PAYLOAD_TYPE } from '#shared/crypto/envelope.ts';
import { peerIdOf, type Identity } from '#shared/crypto/identity.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import type { Digest } from '#shared/ids.ts';
import { CALIBRATION } from '#shared/judge/thresholds.ts';
import { buildReceipt, signReceipt } from '#shared/receipt/build/build-receipt.ts';
import { formatReceiptSecrets, parseReceiptSecrets } from '#shared/receipt/build/receipt-secrets.ts';
import type { ReceiptFile, ReceiptStatement } from '#shared/receipt/receipt.ts';
import { verifyReceipt, type Verification } from '#shared/receipt/verify/verify-receipt.ts';
import { badReceipts } from './bad-receipts.ts';
import { giveAnswer, logReceipt, makeReceipt, policyOf, retold, statementOf, type People } from './receipts.ts';

/** What a verifier has besides the receipt; null where it is kept back. */
export interface VectorGiven {
  readonly answer: string | null;
  readonly secrets: unknown;
  readonly policy: string | null;
  /** The payload of the model's manifest, in base64. */
  readonly manifest: string | null;
}

export interface Vector {
  readonly name: string;
  /** In place of what is given to all vectors of the file. */
  readonly given?: Partial<VectorGiven>;
  readonly receipt: unknown;
  readonly valid: boolean;
  /** Null where it does not hold. */
  readonly tier: string | null;
  /** Names of the checks that fail, and of those for which something is missing. */
  readonly failed: readonly string[];
  readonly open: readonly string[];
}

export interface VectorFile {
  readonly given: VectorGiven;
  readonly vectors: readonly Vector[];
}

/** A key pair whose seed is the SHA-256 of `vector ` and a name. */
export function seededIdentity(name: string): Identity {
  const seed = createHash('sha256').update(`vector ${name}`).digest();
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const publicKey = new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32));
  return {
    id: peerIdOf(publicKey),
    publicKey,
    sign: async (message) => new Uint8Array(sign(null, message, key)),
  };
}

export function seededPeople(): People {
  const of = seededIdentity;
  return {
    requester: of('requester'),
    server: of('server'),
    replicas: [of('a'), of('b'), of('c'), of('d')],
    log: of('log'),
    witnesses: [of('one'), of('two')],
  };
}

const SAID = {
  content: 'Tell me of the wren, which is so small.',
  answer: 'The wren is small, and its song is loud in winter.',
};

/** The files of test/vectors/receipts, by name; the same ones each time. */
export async function makeVectorFiles(): Promise<Record<'good' | 'bad', VectorFile>> {
  const people = seededPeople();
  const answered = await giveAnswer(people, SAID);
  const receipt = await makeReceipt(answered);
  const { salt, prompt, pieces, tokens, parts } = answered;
  const given: VectorGiven = {
    answer: answered.answer,
    secrets: JSON.parse(formatReceiptSecrets({ salt, prompt, pieces, tokens })) as unknown,
    policy: policyOf(people),
    manifest: toBase64(utf8(JSON.stringify(parts.manifest))),
  };
  const nothing = { answer: null, secrets: null, policy: null, manifest: null };
  const told = (change: (statement: ReceiptStatement) => unknown) => retold(people, receipt, change);
  const next = { ...parts, previous: 'ab'.repeat(32) as Digest };
  const linked = await signReceipt(await buildReceipt(next), people.requester);
  const good: [string, unknown, Partial<VectorGiven>?][] = [
    ['everything is at hand', receipt],
    ['nothing but the receipt is at hand', receipt, nothing],
    ['not logged', { ...receipt, proof: null }, { policy: null }],
    ['of the prompt only the text is at hand', receipt, { secrets: secretsOfText(answered) }],
    ['names the receipt before it', await logReceipt(people, linked)],
    ['one replica of a stage signed nothing', await told(leaveOut(0, 1))],
    ['a third settled a doubt, where two signed different bits', await told(settle)],
    [
      'of version 1',
      former.receipt,
      { answer: former.answer, secrets: former.secrets, policy: former.policy, manifest: null },
    ],
  ];
  const bad = await badReceipts(people, answered, receipt);
  return { good: await fileOf(given, good), bad: await fileOf(given, bad) };
}

const former = JSON.parse(readFileSync('test/vectors/receipt.json', 'utf8')) as VectorGiven & { receipt: ReceiptFile };

function secretsOfText({ salt, prompt, tokens }: Awaited<ReturnType<typeof giveAnswer>>): unknown {
  return JSON.parse(formatReceiptSecrets({ salt, prompt, pieces: null, tokens }));
}

function leaveOut(stage: number, place: number) {
  return ({ predicate }: ReceiptStatement): void => {
    predicate.stages[stage]!.replicas[place]!.signed = null;
    for (const span of predicate.spans) {
      span.tier = 'unchecked';
      Object.assign(span.stages[stage]!, { tier: 'unchecked', reason: 'not-signed' });
    }
    const { length } = predicate.spans;
    predicate.verdict = { tier: 'unchecked', counts: { checked: 0, settled: 0, unchecked: length, disputed: 0 } };
  };
}

function settle({ predicate }: ReceiptStatement): void {
  const span = predicate.spans.at(-1)!;
  const stage = span.stages[1]!;
  const [found] = stage.findings;
  Object.assign(found!, { outcome: 'suspect' });
  found!.closeness.median = 2 * found!.limits.accept.median;
  span.tier = stage.tier = 'settled';
  stage.arbiter = { id: 'ef'.repeat(32) as never, role: 'referee', numericClass: 'wasm', signed: null };
  const checked = predicate.spans.length - 1;
  predicate.verdict = { tier: 'settled', counts: { checked, settled: 1, unchecked: 0, disputed: 0 } };
}

async function fileOf(
  given: VectorGiven,
  cases: readonly (readonly [string, unknown, Partial<VectorGiven>?])[],
): Promise<VectorFile> {
  const vectors: Vector[] = [];
  for (const [name, receipt, own] of cases) {
    vectors.push({
      name,
      ...(own && { given: own }),
      receipt,
      ...verdictOf(await verifyVector(given, { receipt, given: own })),
    });
  }
  return { given, vectors };
}

/** What our verifier says of a vector, with the calibration in use. */
export function verifyVector(
  all: VectorGiven,
  { receipt, given }: { readonly receipt: unknown; readonly given?: Partial<VectorGiven> | undefined },
  calibrations = [CALIBRATION],
): Promise<Verification> {
  const { answer, secrets, policy, manifest } = { ...all, ...given };
  const { salt, prompt = null, pieces = null, tokens } = secrets === null ? {} : parseReceiptSecrets(secrets);
  return verifyReceipt({
    receipt,
    verify,
    calibrations,
    ...(answer !== null && { answer }),
    ...(policy !== null && { policy }),
    ...(manifest !== null && { manifest: fromBase64(manifest) }),
    ...(salt && { salt }),
    ...(tokens && { tokens }),
    ...(prompt !== null && { prompt }),
    ...(pieces !== null && { pieces }),
  });
}

/** The part of a verification that a vector states. */
export function verdictOf({
  isValid,
  checks,
  summary,
}: Verification): Pick<Vector, 'valid' | 'tier' | 'failed' | 'open'> {
  const named = (status: string) => checks.filter((check) => check.status === status).map(({ name }) => name);
  return { valid: isValid, tier: isValid ? summary!.tier : null, failed: named('failed'), open: named('not-checked') };
}

/** A receipt whose payload is this text, signed as any other. */
export async function signedText(people: People, text: string): Promise<ReceiptFile> {
  const payload = utf8(text);
  const signature = await people.requester.sign(preAuthEncoding(STATEMENT_PAYLOAD_TYPE, payload));
  const envelope = sealEnvelope(people.requester.id, STATEMENT_PAYLOAD_TYPE, payload, signature);
  return { format: 'chorus-receipt/2', envelope, proof: null };
}

export const textIn = (receipt: ReceiptFile): string => JSON.stringify(statementOf(receipt));
