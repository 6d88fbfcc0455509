import { toBase64, toHex, utf8 } from '../../bytes.ts';
import type { RandomBytes } from '../../clock.ts';
import { signEnvelope } from '../../crypto/dsse.ts';
import { STATEMENT_PAYLOAD_TYPE, STATEMENT_TYPE } from '../../crypto/envelope.ts';
import { digestOf, type Identity, type VerifySignature } from '../../crypto/identity.ts';
import { canonicalBase64, parseJsonBytes } from '../../crypto/strict-envelope.ts';
import { ChorusError } from '../../errors.ts';
import type { Digest } from '../../ids.ts';
import { CALIBRATION } from '../../judge/thresholds.ts';
import type { Manifest } from '../../model/manifest.ts';
import { routeSchema, isWithinRoute } from '../../route/route.ts';
import { SAMPLER } from '../../rows/sampler.ts';
import type { ModelText } from '../../text/model-text.ts';
import { promptBytes } from '../../text/prompt-bytes.ts';
import { textOf, type Prompt } from '../../text/prompt.ts';
import type { Evidence } from '../evidence/evidence.ts';
import { packRuns } from '../evidence/runs.ts';
import { salted, saltedTokens } from '../evidence/salted.ts';
import {
  receiptStatementSchema,
  type ReceiptFile,
  type ReceiptPredicate,
  type ReceiptStatement,
  type WrittenStatement,
} from '../receipt.ts';
import { RECEIPT_TYPE, timeOf } from '../statement-form.ts';
import { judgedSpans, signedStages } from './receipt-stages.ts';

/** A model's text, as far as receipts need it. Prompts may be read elsewhere. */
export interface ReceiptText extends Pick<ModelText, 'decode' | 'createWriter'> {
  encodePrompt(prompt: Prompt): readonly number[] | Promise<readonly number[]>;
}

/** All that a receipt is made from. */
export interface ReceiptParts {
  readonly evidence: Evidence;
  readonly manifest: Manifest;
  readonly manifestDigest: Digest;
  readonly text: ReceiptText;
  /** Null where it came as token ids. */
  readonly prompt: Prompt | null;
  /** As it was shown. */
  readonly answer: string;
  /** Stop strings, of which the answer ends before the first. */
  readonly stop?: readonly string[];
  readonly requester: { readonly kind: ReceiptPredicate['requester']['kind']; readonly identity: Identity };
  /** Raw key of the server that signed the route, 32 bytes. */
  readonly serverKey: Uint8Array<ArrayBuffer>;
  readonly random: RandomBytes;
  /** The receipt before it of the same session; null where none was made. */
  readonly previous: Digest | null;
  readonly verify: VerifySignature;
}

/**
 * The statement of a receipt, which hashes only what ran: throws `bad-message` unless the prompt encodes to the
 * tokens that were fed, the answer is what the tokens drawn spell, and route, runs and spans are those of the session.
 * An attestation that does not fit counts as not signed, and a check that no signature bears out as none: the receipt
 * claims only what its reader can verify.
 */
export async function buildReceipt(parts: ReceiptParts): Promise<WrittenStatement> {
  const { evidence, manifest, manifestDigest, requester } = parts;
  await checkText(parts);
  checkSession(parts);
  const { route, salt, tokens, promptTokens, positions } = evidence;
  const runtime = { name: manifest.pins.runtime, version: manifest.pins.runtimeVersion };
  const stages = await signedStages(evidence, { model: manifestDigest, runtime }, parts.verify);
  const model = {
    name: manifest.name,
    manifest: { sha256: manifestDigest },
    root: { sha256: manifest.source.root },
    layers: manifest.config.layers,
    hiddenSize: manifest.config.hiddenSize,
    quantization: manifest.pins.quantization,
    runtime,
  };
  const { spans, tier, counts } = judgedSpans(evidence.spans, { stages, model }, salt);
  const statement: WrittenStatement = {
    _type: STATEMENT_TYPE,
    subject: [{ name: 'answer', digest: { sha256: digestOf(utf8(parts.answer)) } }],
    predicateType: RECEIPT_TYPE,
    predicate: {
      requester: { id: requester.identity.id, publicKey: toBase64(requester.identity.publicKey), kind: requester.kind },
      model,
      request: {
        prompt:
          parts.prompt === null
            ? null
            : { sha256: salted(salt, promptBytes(parts.prompt)), text: salted(salt, utf8(textOf(parts.prompt))) },
        tokens: {
          prompt: promptTokens,
          answer: tokens.length - promptTokens,
          fed: saltedTokens(salt, tokens.slice(0, positions)),
          sha256: saltedTokens(salt, tokens),
        },
        sampling: { ...evidence.sampling, maxNewTokens: evidence.maxNewTokens, sampler: SAMPLER },
        seedCommitment: evidence.anchor === null ? null : { sha256: toHex(evidence.anchor) },
        nonce: toHex(parts.random(16)),
      },
      session: route.session,
      record: { number: evidence.record, previous: parts.previous },
      route: { serverKey: toBase64(parts.serverKey), envelope: evidence.envelope },
      positions,
      runs: packRuns(evidence.runs),
      stages,
      spans,
      thresholds: { sha256: CALIBRATION.sha256 },
      verdict: { tier, counts },
      faults: evidence.faults.slice(0, 256).map((fault) => ({ ...fault })),
      startedAt: timeOf(Math.max(evidence.startedAtMs, route.issuedAtMs)),
      finishedAt: timeOf(evidence.finishedAtMs),
    },
  };
  const parsed = receiptStatementSchema.safeParse(statement);
  if (parsed.success) return parsed.data;
  throw refused(`${parsed.error.issues[0]?.path.join('.')} cannot stand in a receipt`);
}

/** The receipt as a file, not logged yet. */
export async function signReceipt(statement: ReceiptStatement, identity: Identity): Promise<ReceiptFile> {
  const payload = utf8(JSON.stringify(statement));
  const envelope = await signEnvelope(identity, STATEMENT_PAYLOAD_TYPE, payload);
  return { format: 'chorus-receipt/2', envelope, proof: null };
}

/** The texts are those of the tokens. */
async function checkText({ evidence, text, prompt, answer, stop = [] }: ReceiptParts): Promise<void> {
  const { tokens, promptTokens } = evidence;
  const fed = tokens.slice(0, promptTokens);
  if (prompt !== null && !isSame(await text.encodePrompt(prompt), fed)) {
    throw refused('the tokens that were fed are not those of the prompt');
  }
  if (spelt(text, fed, tokens.slice(promptTokens), stop) !== answer) {
    throw refused('the answer is not what its tokens spell');
  }
}

function spelt(text: ReceiptText, fed: readonly number[], tokens: readonly number[], stop: readonly string[]): string {
  const whole = text.decode(tokens, fed);
  const writer = text.createWriter(stop, fed);
  let written = '';
  for (const token of tokens) written += writer.push(token);
  written += writer.end();
  // Token by token must come to the same as all at once, up to where a stop string ended it.
  if (!whole.startsWith(written)) throw refused('its tokens do not spell the same one by one');
  return written;
}

function checkSession({ evidence, requester }: ReceiptParts): void {
  const { route, envelope, tokens, positions, startedAtMs, finishedAtMs } = evidence;
  const signed = routeSchema.parse(parseJsonBytes(canonicalBase64(envelope.payload)));
  if (JSON.stringify(signed) !== JSON.stringify(routeSchema.parse(route))) {
    throw refused('the route is not the one that the server signed');
  }
  if (route.requester.id !== requester.identity.id) throw refused('another requester asked');
  if (positions !== tokens.length && positions !== tokens.length - 1) {
    throw refused(`${tokens.length} tokens came of ${positions} positions`);
  }
  if (startedAtMs > finishedAtMs || !isWithinRoute(route, finishedAtMs)) {
    throw refused('by the clock here the answer did not end while its route was good');
  }
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((token, i) => token === b[i]);
}

function refused(reason: string): ChorusError {
  return new ChorusError('bad-message', `no receipt can be made: ${reason}`);
}
