import { equalBytes } from '../bytes.ts';
import type { VerifySignature } from '../crypto/identity.ts';
import { ChorusError } from '../errors.ts';
import { parseCheckpoint } from './checkpoint.ts';
import { cosignedAt } from './cosignature.ts';
import { COSIGNATURE, ED25519, isSignedBy, parseVerifierKey, type Note, type NoteKey } from './signed-note.ts';

/** Which logs are accepted, and which witnesses must have cosigned (C2SP tlog-policy). */
export interface TlogPolicy {
  /** Empty where the log is known from elsewhere. */
  readonly logs: readonly PolicyLog[];
  readonly witnesses: readonly PolicyWitness[];
  /** Null where no cosignature is asked for (`quorum none`). */
  readonly quorum: PolicyRule | null;
}

export interface PolicyLog {
  readonly key: NoteKey;
  readonly url: string | null;
}

export interface PolicyWitness {
  /** Its name within the policy; that of its key may be another. */
  readonly name: string;
  readonly key: NoteKey;
  readonly url: string | null;
}

export type PolicyRule = PolicyWitness | PolicyGroup;

export interface PolicyGroup {
  readonly name: string;
  /** How many of the members must have witnessed. */
  readonly threshold: number;
  readonly members: readonly PolicyRule[];
}

export interface PolicyVerdict {
  readonly isSatisfied: boolean;
  /** The listed log that signed; null if none did, or if none is listed. */
  readonly log: PolicyLog | null;
  /** Whether enough of the right witnesses cosigned. */
  readonly hasQuorum: boolean;
  readonly cosigners: readonly { readonly name: string; readonly timeSeconds: number }[];
}

const MAX_CHARACTERS = 64 * 1024;
const MAX_LINES = 1_024;
/** Reserved: no cosignature at all. */
const NONE = 'none';

const SEPARATORS: readonly number[] = [0x09, 0x0a, 0x20];

/**
 * The text of a policy file, whose octets beyond ASCII mean nothing to it (C2SP tlog-policy, Character set): items that are no UTF-8
 * have a half of a surrogate pair for each such octet, which no other text has.
 */
export function policyText(bytes: Uint8Array<ArrayBuffer>): string {
  let text = '';
  for (let start = 0; start < bytes.length;) {
    let end = start;
    while (end < bytes.length && !SEPARATORS.includes(bytes[end]!)) end += 1;
    text += itemText(bytes.subarray(start, end));
    if (end < bytes.length) text += String.fromCharCode(bytes[end]!);
    start = end + 1;
  }
  return text;
}

function itemText(octets: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(octets);
  } catch {
    return Array.from(octets, (octet) => String.fromCharCode(octet < 0x80 ? octet : 0xdc00 + octet)).join('');
  }
}

/**
 * Reads a policy (as `policyText` gives it). Throws `too-large`, or `bad-message` that names the line and what is wrong with
 * it.
 */
export function parsePolicy(text: string): TlogPolicy {
  if (text.length > MAX_CHARACTERS) throw new ChorusError('too-large', 'the policy is longer than 64 KiB');
  const lines = text.split('\n');
  if (lines.length > MAX_LINES) throw new ChorusError('too-large', `the policy has more than ${MAX_LINES} lines`);
  const reader = new PolicyReader();
  lines.forEach((line, i) => {
    try {
      reader.read(line);
    } catch (error) {
      if (!(error instanceof ChorusError)) throw error;
      throw new ChorusError('bad-message', `line ${i + 1} of the policy: ${error.message}`);
    }
  });
  return reader.finish();
}

/**
 * The worth of a checkpoint with its signatures under a policy. Without logs in the policy the caller has to check the
 * log's own signature. Throws `bad-signature` if a signature by a listed key is wrong, `bad-message` for a text that is
 * no checkpoint.
 */
export async function evaluatePolicy(policy: TlogPolicy, note: Note, verify: VerifySignature): Promise<PolicyVerdict> {
  const { origin } = parseCheckpoint(note.text);
  let log: PolicyLog | null = null;
  for (const each of policy.logs) {
    if (each.key.name === origin && (await isSignedBy(note, each.key, verify))) log ??= each;
  }
  const cosigners: { name: string; timeSeconds: number }[] = [];
  for (const { name, key } of policy.witnesses) {
    const timeSeconds = await cosignedAt(note, key, verify);
    if (timeSeconds !== null) cosigners.push({ name, timeSeconds });
  }
  const names = new Set(cosigners.map(({ name }) => name));
  const hasQuorum = policy.quorum === null || hasWitnessed(policy.quorum, names);
  return { isSatisfied: hasQuorum && (log !== null || policy.logs.length === 0), log, hasQuorum, cosigners };
}

function hasWitnessed(rule: PolicyRule, cosigners: ReadonlySet<string>): boolean {
  if (!('members' in rule)) return cosigners.has(rule.name);
  return rule.members.filter((member) => hasWitnessed(member, cosigners)).length >= rule.threshold;
}

/** Takes the lines one by one: a line may only name what earlier ones defined, so nothing can go round in circles. */
class PolicyReader {
  readonly #logs: PolicyLog[] = [];
  readonly #witnesses: PolicyWitness[] = [];
  readonly #rules = new Map<string, PolicyRule>();
  readonly #members = new Set<string>();
  #quorum: PolicyRule | null | undefined;

  read(line: string): void {
    if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(line)) throw bad('it holds a control character');
    const [keyword, ...items] = line.split(/[ \t]+/).filter((item) => item !== '');
    if (keyword === undefined || keyword.startsWith('#')) return;
    switch (keyword) {
      case 'log':
        return this.#readLog(items);
      case 'witness':
        return this.#readWitness(items);
      case 'group':
        return this.#readGroup(items);
      case 'quorum':
        return this.#readQuorum(items);
      default:
        throw bad('it is neither a log, a witness, a group nor the quorum');
    }
  }

  finish(): TlogPolicy {
    if (this.#quorum === undefined) throw bad('the policy has no quorum line; exactly one is needed');
    return { logs: this.#logs, witnesses: this.#witnesses, quorum: this.#quorum };
  }

  #readLog(items: readonly string[]): void {
    const [line, url = null] = items;
    if (line === undefined || items.length > 2) throw bad(`a log of ${items.length} fields: a key and perhaps a URL`);
    const key = keyOfType(line, ED25519, 'a log');
    if (this.#logs.some((log) => isSameKey(log.key, key))) throw bad('this log is listed already');
    this.#logs.push({ key, url });
  }

  #readWitness(items: readonly string[]): void {
    const [name, line, url = null] = items;
    if (name === undefined || line === undefined || items.length > 3) {
      throw bad(`a witness with ${items.length} fields; it has a name, a key and perhaps a URL`);
    }
    const witness = { name, key: keyOfType(line, COSIGNATURE, 'a witness'), url };
    if (this.#witnesses.some(({ key }) => isSameKey(key, witness.key))) throw bad('this witness is listed already');
    this.#define(witness);
    this.#witnesses.push(witness);
  }

  #readGroup(items: readonly string[]): void {
    const [name, count, ...names] = items;
    if (name === undefined || count === undefined || names.length === 0) {
      throw bad(`a group with ${items.length} fields; it has a name, a number and at least one member`);
    }
    const members = names.map((member) => {
      if (this.#members.has(member)) throw bad(`${member} is a member already`);
      const rule = this.#rule(member);
      this.#members.add(member);
      return rule;
    });
    this.#define({ name, threshold: thresholdOf(count, members.length), members });
  }

  #readQuorum(items: readonly string[]): void {
    const [name] = items;
    if (name === undefined || items.length > 1) throw bad(`a quorum of ${items.length} names; it must be one`);
    if (this.#quorum !== undefined) throw bad('a second quorum line; a policy has exactly one');
    this.#quorum = name === NONE ? null : this.#rule(name);
  }

  #define(rule: PolicyRule): void {
    if (rule.name === NONE) throw bad(`${NONE} is a reserved name`);
    if (this.#rules.has(rule.name)) throw bad(`${rule.name} is defined already`);
    this.#rules.set(rule.name, rule);
  }

  #rule(name: string): PolicyRule {
    const rule = this.#rules.get(name);
    if (rule === undefined) throw bad(`${name} is not defined before`);
    return rule;
  }
}

function thresholdOf(count: string, members: number): number {
  if (count === 'any') return 1;
  if (count === 'all') return members;
  const threshold = /^[1-9]\d{0,3}$/.test(count) ? Number(count) : NaN;
  if (threshold >= 1 && threshold <= members) return threshold;
  throw bad(`${count} of ${members} members; a group asks for any, all or a number of them`);
}

function keyOfType(line: string, type: number, owner: string): NoteKey {
  const key = parseVerifierKey(line);
  if (key.type !== type) throw bad(`this is not the key of ${owner}`);
  return key;
}

function isSameKey(a: NoteKey, b: NoteKey): boolean {
  return equalBytes(a.publicKey, b.publicKey);
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', reason);
}
