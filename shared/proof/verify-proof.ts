import { equalBytes, fromBase64 } from '../bytes.ts';
import { peerIdOf } from '../crypto/identity.ts';
import { ChorusError } from '../errors.ts';
import type { Digest, PeerId, SessionId } from '../ids.ts';
import type { CheckFailure } from '../judge/finding.ts';
import { isExactClass } from '../judge/numeric-class.ts';
import { parseCommit, parseReveal, parseSealedReveal } from '../judge/statement-codec.ts';
import type { Testimony, Commit, Span } from '../judge/statement.ts';
import type { Manifest } from '../model/manifest.ts';
import { sameRange, type StageRange } from '../model/stage.ts';
import { openRoute, type Authority } from '../route/open-signed.ts';
import type { Replica, Route } from '../route/route.ts';
import { computationFault, sketchFault, type Suspect } from './proof-fault.ts';
import type { Proof } from './proof-schema.ts';

type ProofOf<Type extends Proof['type']> = Extract<Proof, { type: Type }>;
type StageSpan = Span & Pick<Commit, 'opening' | 'stage'>;

export interface ProofDeps extends Authority {
  /** True for the anchors of this server. */
  isReferee(peer: PeerId): boolean;
  manifest(model: Digest): Manifest | undefined;
}

/** A fault that a proof shows: the replica, where it stood, and how it failed. */
export interface ProvenFault {
  readonly accused: PeerId;
  readonly session: SessionId;
  readonly model: Digest;
  readonly stage: number;
  readonly range: StageRange;
  readonly reason: CheckFailure;
}

/**
 * Checks a stranger's proof, of which nothing is known but that it has the form of `proofSchema`. Throws
 * `bad-signature` where something is not signed by whom it should be, `wrong-peer` where a party is not who the route
 * says, `unknown-session` and `unknown-model`, and `bad-message` where the proof is malformed or shows no fault.
 */
export async function verifyProof(proof: Proof, deps: ProofDeps): Promise<ProvenFault> {
  const route = await openRoute(proof.route, deps);
  if (route.purpose !== 'answer') throw nothing('the route of the accused is not of an answer');
  const manifest = deps.manifest(route.model);
  if (manifest === undefined) throw new ChorusError('unknown-model', 'the proof is about a model that is not here');
  switch (proof.type) {
    case 'computation':
      return verifyComputation(proof, route, manifest, deps);
    case 'equivocation':
      return verifyEquivocation(proof, route, deps);
    case 'sketch': {
      const accused = await openTestimony(proof.accused, route, deps);
      return accused.fault(sketchFault(accused, manifest, proof.side, bytesOf(proof.rows)));
    }
  }
}

async function verifyComputation(
  proof: ProofOf<'computation'>,
  route: Route,
  manifest: Manifest,
  deps: ProofDeps,
): Promise<ProvenFault> {
  const replay = await openRoute(proof.replay, deps);
  if (replay.purpose !== 'replay' || replay.stages.length !== 1) throw nothing('the referee’s route is no replay');
  if (replay.model !== route.model) throw nothing('the two routes are of different models');
  const [accused, referee] = await Promise.all([
    openTestimony(proof.accused, route, deps),
    openTestimony(proof.referee, replay, deps),
  ]);
  if (referee.peer !== replay.stages[0]?.primary.id || !deps.isReferee(referee.peer) || referee.peer === accused.peer) {
    throw new ChorusError('wrong-peer', 'the second testimony is not an independent referee’s');
  }
  if (!isExactClass(referee.numericClass)) throw nothing('the referee’s bits depend on its device');
  if (!sameRange(accused.range, referee.range)) throw nothing('the referee ran other layers');
  return accused.fault(computationFault(accused, referee, manifest));
}

async function verifyEquivocation(
  { first, second }: ProofOf<'equivocation'>,
  route: Route,
  deps: ProofDeps,
): Promise<ProvenFault> {
  const [one, two] = [bytesOf(first.statement), bytesOf(second.statement)];
  const [a, b] = [readStatement(one), readStatement(two)];
  const [keyA, keyB] = await Promise.all([openSigned(first, deps), openSigned(second, deps)]);
  if (!equalBytes(keyA, keyB)) throw new ChorusError('wrong-peer', 'two keys signed the two statements');
  const isSame = (['session', 'epoch', 'index', 'stage'] as const).every((field) => a.span[field] === b.span[field]);
  if (a.kind !== b.kind || !isSame) throw nothing('the statements are not about the same chunk');
  // A replica that forgot the session may have joined it twice, and stands for each time by itself.
  if (!equalBytes(a.span.opening, b.span.opening)) throw nothing('the statements are of two openings');
  if (equalBytes(one, two)) throw nothing('the statements are the same');
  const place = placeOf(peerIdOf(keyA), a.span, route);
  return place.fault(a.kind === 'commit' ? 'commit-doubled' : 'reveal-doubled');
}

function readStatement(bytes: Uint8Array<ArrayBuffer>): { kind: 'commit' | 'reveal'; span: StageSpan } {
  try {
    return { kind: 'commit', span: parseCommit(bytes) };
  } catch {
    return { kind: 'reveal', span: parseSealedReveal(bytes) };
  }
}

/** A testimony whose signatures are good, by a replica of its stage of `route`. */
async function openTestimony(
  { commit, reveal }: ProofOf<'sketch'>['accused'],
  route: Route,
  deps: ProofDeps,
): Promise<Suspect & { fault(reason: CheckFailure): ProvenFault }> {
  const spoken = parseCommit(bytesOf(commit.statement));
  const shown = parseReveal(bytesOf(reveal.statement), bytesOf(reveal.input), bytesOf(reveal.output));
  const [publicKey, revealKey] = await Promise.all([openSigned(commit, deps), openSigned(reveal, deps)]);
  if (!equalBytes(publicKey, revealKey)) throw new ChorusError('wrong-peer', 'two keys signed commit and reveal');
  const fields = ['session', 'epoch', 'index', 'start', 'end', 'stage'] as const;
  if (fields.some((field) => spoken[field] !== shown[field]))
    throw nothing('commit and reveal are of different chunks');
  if (!equalBytes(spoken.opening, shown.opening)) throw nothing('commit and reveal are of two openings');
  const { peer, numericClass, range, fault } = placeOf(peerIdOf(publicKey), spoken, route);
  const signed = { publicKey, signature: new Uint8Array(0) };
  const testimony: Testimony = {
    peer,
    numericClass,
    commit: { statement: spoken, ...signed },
    reveal: { statement: shown, ...signed },
  };
  return { ...testimony, range, fault };
}

/** Where a peer stands in a route, as a replica of the stage it speaks for. */
function placeOf(peer: PeerId, { session, stage }: StageSpan, route: Route) {
  if (route.session !== session) throw new ChorusError('unknown-session', 'a statement about another session');
  const found = route.stages[stage];
  const replica = found && [found.primary, ...found.shadows].find((candidate: Replica) => candidate.id === peer);
  if (found === undefined || replica === undefined) {
    throw new ChorusError('wrong-peer', 'a statement by somebody who is no replica of that stage');
  }
  const { range } = found;
  const fault = (reason: CheckFailure): ProvenFault => ({
    accused: peer,
    session,
    model: route.model,
    stage,
    range,
    reason,
  });
  return { peer, numericClass: replica.numericClass, range, fault };
}

/** The key that signed. */
async function openSigned(
  signed: ProofOf<'equivocation'>['first'],
  { verify }: Authority,
): Promise<Uint8Array<ArrayBuffer>> {
  const publicKey = bytesOf(signed.publicKey);
  if (await verify(publicKey, bytesOf(signed.statement), bytesOf(signed.signature))) return publicKey;
  throw new ChorusError('bad-signature', 'a statement in the proof is not signed by its key');
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  try {
    return fromBase64(base64);
  } catch {
    throw nothing('not base64');
  }
}

function nothing(reason: string): ChorusError {
  return new ChorusError('bad-message', `the proof shows no fault: ${reason}`);
}
