import { fromBase64 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { SessionId } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import type { Testimony } from '#shared/judge/statement.ts';
import type { Proof } from '#shared/proof/proof-schema.ts';
import { computationProof, equivocationProof, sketchProof } from '#shared/proof/proof.ts';
import { ROUTE_PAYLOAD_TYPE } from '#shared/route/route.ts';
import { toyIdentity } from '../support/toy-network.ts';
import { flipped } from './protocol-liars.ts';
import type { Member, WrenNetwork } from './wren-network.ts';

export interface FalseReport {
  readonly name: string;
  /** Whether the server believed it, whomever it names. */
  readonly isBelieved: boolean;
}

/**
 * Everything that a requester could make of what it heard in a session in which a shadow lied and a referee was called, to
 * accuse the honest primary of that stage.
 */
export async function falseReports(network: WrenNetwork, stage: number): Promise<FalseReport[]> {
  const primary = network.member(stage, 'primary');
  const liar = network.member(stage, 'shadow');
  const referee = network.member(stage, 'referee');
  const arbiter = network.member(stage, 'arbiter');
  const heard = testimonies(network, primary);
  const [truth] = testimonies(network, referee);
  const [second] = testimonies(network, arbiter);
  const [lie] = testimonies(network, liar);
  if (truth === undefined || lie === undefined) return [];
  const { start, end } = truth.commit.statement;
  const honest = heard.find(({ commit: { statement } }) => statement.start === start && statement.end === end);
  if (honest === undefined) return [];
  const route = routeOf(network, honest.commit.statement.session);
  const replay = routeOf(network, truth.commit.statement.session);
  const proofs: [string, Proof | null][] = [
    ['the honest primary against the referee', computationProof({ route, replay, accused: honest, referee: truth })],
    [
      'the liar’s words under the primary’s key',
      computationProof({ route, replay, accused: asIf(lie, honest), referee: truth }),
    ],
    ['the primary’s words, changed', computationProof({ route, replay, accused: changed(honest), referee: truth })],
    ['the referee’s words, changed', computationProof({ route, replay, accused: honest, referee: changed(truth) })],
    ['the liar as the referee', computationProof({ route, replay: route, accused: honest, referee: lie })],
    [
      'a replay that the server never gave',
      computationProof({ route, replay: await forgedRoute(replay), accused: honest, referee: truth }),
    ],
    ['the same statement twice', equivocationProof(route, honest.commit, honest.commit)],
    ['a commit and a reveal as two words', equivocationProof(route, honest.commit, honest.reveal)],
    ['a second word by another key', equivocationProof(route, honest.commit, lie.commit)],
    ['a second word that it never signed', equivocationProof(route, honest.commit, changed(honest).commit)],
    ['other rows than it committed to', sketchProof(route, 'output', honest, new Uint8Array(512 * (end - start)))],
  ];
  const before = heard.find(({ commit: { statement } }) => statement.start !== start);
  if (before !== undefined) proofs.push(['two spans as one', equivocationProof(route, before.commit, honest.commit)]);
  if (second !== undefined) {
    const replayed = routeOf(network, second.commit.statement.session);
    const lied = computationProof({ route, replay: replayed, accused: lie, referee: second });
    proofs.push(['an arbiter as the referee', lied]);
  }
  const reports: FalseReport[] = [];
  for (const [name, proof] of proofs) {
    if (proof !== null) reports.push({ name, isBelieved: (await network.judge(proof)) !== null });
  }
  return reports;
}

/** The words of a replica, span by span, as the requester heard it. */
function testimonies({ links }: WrenNetwork, { id }: Member): Testimony[] {
  const own = links.log.filter(({ from }) => from === id).map(({ message }) => message);
  return own.flatMap((message) => {
    if (message.type !== 'commit') return [];
    const { commit } = message;
    const { session, index } = commit.statement;
    const said = own.find(
      (each) =>
        each.type === 'reveal' && each.reveal.statement.session === session && each.reveal.statement.index === index,
    );
    return said?.type === 'reveal' ? [{ peer: id, numericClass: ENGINE_CLASS, commit, reveal: said.reveal }] : [];
  });
}

function routeOf({ signed }: WrenNetwork, session: SessionId): Envelope {
  const route = signed.get(session);
  if (route === undefined) throw new Error('nobody was given that session');
  return route;
}

async function forgedRoute({ payload }: Envelope): Promise<Envelope> {
  return signEnvelope(toyIdentity('requester'), ROUTE_PAYLOAD_TYPE, fromBase64(payload));
}

function asIf(testimony: Testimony, other: Testimony): Testimony {
  const { publicKey } = other.commit;
  return {
    ...testimony,
    peer: other.peer,
    commit: { ...testimony.commit, publicKey },
    reveal: { ...testimony.reveal, publicKey },
  };
}

function changed(testimony: Testimony): Testimony {
  const { commit, reveal } = testimony;
  const output = flipped(reveal.statement.output);
  return {
    ...testimony,
    commit: { ...commit, statement: { ...commit.statement, outputTo: flipped(commit.statement.outputTo) } },
    reveal: { ...reveal, statement: { ...reveal.statement, output } },
  };
}
