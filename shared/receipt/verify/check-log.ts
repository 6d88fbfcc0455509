import { ChorusError } from '../../errors.ts';
import { CLOCK_SKEW_MS } from '../../limits.ts';
import { parseCheckpoint, type Checkpoint } from '../../log/checkpoint.ts';
import { isIncluded, leafHash } from '../../log/merkle.ts';
import { evaluatePolicy, parsePolicy, type PolicyVerdict } from '../../log/policy.ts';
import { parseNote, type Note } from '../../log/signed-note.ts';
import { parseTlogProof, type TlogProof } from '../../log/tlog-proof.ts';
import { isWithinRoute } from '../../route/route.ts';
import { entryOf, parseReceiptEntry } from '../receipt-entry.ts';
import { timeOf } from '../statement-form.ts';
import { demand, refuse, type CheckReceipt, type Holdings, type Subject } from './check.ts';

/** The proof of a receipt, taken apart. */
export interface LogPosition {
  readonly proof: TlogProof;
  readonly note: Note;
  readonly checkpoint: Checkpoint;
}

/** Null where the receipt has no proof. Throws `bad-message` or `too-large`. */
export function logPosition({ file }: Pick<Subject, 'file'>): LogPosition | null {
  if (file.proof === null) return null;
  const proof = parseTlogProof(file.proof);
  const note = parseNote(proof.checkpoint);
  return { proof, note, checkpoint: parseCheckpoint(note.text) };
}

/** The entry that the log must have for this receipt is well formed. */
export const checkLogEntry: CheckReceipt = ({ file, id, predicate, holdings }) => {
  if (file.proof === null) return unlogged(holdings);
  const entry = parseReceiptEntry(entryOf(id, predicate));
  demand(entry.id === id, 'the entry is of another receipt');
  return `the entry says: receipt ${id}, ${entry.tier}, finished at ${entry.finishedAt}`;
};

/** The entry is in the tree whose root the checkpoint has. */
export const checkLogInclusion: CheckReceipt = (subject) => {
  const position = logPosition(subject);
  if (position === null) return unlogged(subject.holdings);
  const { proof, checkpoint } = position;
  const leaf = leafHash(entryOf(subject.id, subject.predicate));
  const isThere = isIncluded(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root);
  demand(isThere, `the proof does not lead from this receipt to the root of ${checkpoint.origin}`);
  return `entry ${proof.index} of the ${checkpoint.size} in ${checkpoint.origin}`;
};

/** A log of the policy signed the checkpoint. */
export const checkLogSignature: CheckReceipt = async (subject) => {
  const position = logPosition(subject);
  const { policy } = subject.holdings;
  if (position === null) return unlogged(subject.holdings);
  const { origin } = position.checkpoint;
  if (policy === undefined) return { notChecked: `without a policy nobody says which key ${origin} has` };
  const { logs } = parsePolicy(policy);
  demand(logs.length > 0, 'the policy names no log');
  const { log } = await evaluatePolicy({ logs, witnesses: [], quorum: null }, position.note, subject.holdings.verify);
  demand(log !== null, `no log of the policy signed this checkpoint of ${origin}`);
  return `${origin} signed its checkpoint of ${position.checkpoint.size === 1 ? 'one entry' : `${position.checkpoint.size} entries`}`;
};

/** Enough of the policy's witnesses saw the checkpoint, and none of them before the answer was finished. */
export const checkWitnesses: CheckReceipt = async (subject) => {
  const position = logPosition(subject);
  if (position === null) return unlogged(subject.holdings);
  if (subject.holdings.policy === undefined) {
    const { origin } = position.checkpoint;
    const others = position.note.signatures.map(({ name }) => name).filter((name) => name !== origin);
    const names = others.length === 0 ? 'nobody else' : others.join(', ');
    return { notChecked: `without a policy; signed, it is said, by ${names}` };
  }
  const { quorum } = parsePolicy(subject.holdings.policy);
  const { hasQuorum, cosigners } = await subject.witnessed(position.note);
  const names = cosigners.map(({ name, timeSeconds }) => `${name} at ${timeOf(1000 * timeSeconds)}`);
  demand(hasQuorum, `too few of the policy's witnesses: ${names.join(', ') || 'none'}`);
  for (const { name, timeSeconds } of cosigners) {
    const isLater = 1000 * timeSeconds >= Date.parse(subject.predicate.finishedAt) - CLOCK_SKEW_MS;
    demand(isLater, `${name} saw it before the answer was finished`);
  }
  return quorum === null && names.length === 0
    ? { notChecked: 'the policy asks for none' }
    : `seen by ${names.join(', ')}`;
};

/** The word of the policy's witnesses on a receipt's one note, verified once. Rejects for a cosignature that is wrong. */
export function askWitnesses({ policy, verify }: Holdings): Subject['witnessed'] {
  let verdict: Promise<PolicyVerdict> | null = null;
  const evaluate = async (note: Note) => {
    if (policy === undefined) throw new ChorusError('internal', 'there is no policy');
    const { witnesses, quorum } = parsePolicy(policy);
    return evaluatePolicy({ logs: [], witnesses, quorum }, note, verify);
  };
  return (note) => (verdict ??= evaluate(note));
}

/** The answer began before it ended, the route was good then, and the replicas signed while it was. */
export const checkTimes: CheckReceipt = ({ version, predicate, route, signers }) => {
  if (route === null) return refuse('there is no route to compare the times with');
  const [startedMs, finishedMs] = [Date.parse(predicate.startedAt), Date.parse(predicate.finishedAt)];
  demand(startedMs <= finishedMs, 'the answer ended before it began');
  demand(isWithinRoute(route, finishedMs), 'the answer ended when its route was not good');
  if (version > 1) demand(isWithinRoute(route, startedMs), 'the answer began when its route was not good');
  for (const { replica, attestation } of signers) {
    const attestedMs = Date.parse(attestation.predicate.attestedAt);
    const isDuring = attestedMs >= startedMs - CLOCK_SKEW_MS && attestedMs <= finishedMs + CLOCK_SKEW_MS;
    demand(version === 1 || isDuring, `${replica.id} signed before the answer began, or after it ended`);
    const isGood = isWithinRoute(route, Date.parse(attestation.predicate.attestedAt));
    demand(isGood, `${replica.id} signed when the route was not good`);
  }
  const { startedAt, finishedAt } = predicate;
  return version > 1
    ? `${startedAt} to ${finishedAt}, while the route was good`
    : `it ended at ${finishedAt}, while the route was good; that it began at ${startedAt} is the requester's word`;
};

function unlogged({ policy }: Holdings) {
  demand(policy === undefined, 'the receipt has no proof that it is in a log');
  return { notChecked: 'the receipt has no proof that it is in a log' };
}
