import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes } from '#shared/bytes.ts';
import type { Clock } from '#shared/clock.ts';
import { channelScale } from '#shared/judge/channel-scale.ts';
import { rowValues, sketchRows } from '#shared/judge/sketch.ts';
import { commitBytes, revealBytes } from '#shared/judge/statement-codec.ts';
import type { Commit, Reveal } from '#shared/judge/statement.ts';
import { COMMIT_TIMEOUT_MS, REVEAL_TIMEOUT_MS } from '#shared/limits.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { CHAIN_START, foldRows } from '#shared/rows/row-chain.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { joined } from '../support/traces/span-comparison.ts';
import type { KeptRows } from './kept-rows.ts';
import type { LiePlan } from './lie-plan.ts';
import type { Forge } from './lying-links.ts';
import type { Member, WrenNetwork } from './wren-network.ts';

/** The means of a liar in the protocol. */
export interface Stand {
  readonly member: Member;
  readonly network: WrenNetwork;
  readonly manifest: Manifest;
  readonly plan: LiePlan;
  /** Its honest output, whatever it sends. */
  readonly honest: KeptRows;
}

/** The statements that it signs in place of a commit or reveal; null to leave it as it is, an empty list to say nothing. */
type Change<Statement> = (
  statement: Statement,
  stand: Stand,
) => readonly Statement[] | null | Promise<readonly Statement[] | null>;

/** Signs other commits than its engine would. */
export function forgeCommits(change: Change<Commit>): (stand: Stand) => Forge {
  return (stand) => (message) => {
    if (message.type !== 'commit' || !stand.plan.wants(message.commit.statement.start)) return null;
    return forged(message, message.commit.statement, change, commitBytes, stand, (statement, signature) => {
      return { type: 'commit', commit: { statement, publicKey: stand.member.identity.publicKey, signature } };
    });
  };
}

/** Signs other reveals than its engine would. */
export function forgeReveals(change: Change<Reveal>): (stand: Stand) => Forge {
  return (stand) => (message) => {
    if (message.type !== 'reveal' || !stand.plan.wants(message.reveal.statement.start)) return null;
    return forged(message, message.reveal.statement, change, revealBytes, stand, (statement, signature) => {
      return { type: 'reveal', reveal: { statement, publicKey: stand.member.identity.publicKey, signature } };
    });
  };
}

async function forged<Statement extends Commit | Reveal>(
  message: PeerMessage,
  statement: Statement,
  change: Change<Statement>,
  bytesOf: (statement: Statement) => Uint8Array<ArrayBuffer>,
  stand: Stand,
  messageOf: (statement: Statement, signature: Uint8Array<ArrayBuffer>) => PeerMessage,
): Promise<readonly PeerMessage[]> {
  const told = await change(statement, stand);
  // Saying what is so is no lie, however often.
  const isTrue = told?.length !== 0 && told?.every((each) => equalBytes(bytesOf(each), bytesOf(statement)));
  if (told === null || isTrue) return [message];
  stand.plan.hasLied(statement.start);
  return Promise.all(told.map(async (each) => messageOf(each, await stand.member.identity.sign(bytesOf(each)))));
}

/** Both kinds of lies, each in its own messages. */
export function both(one: (stand: Stand) => Forge, other: (stand: Stand) => Forge): (stand: Stand) => Forge {
  return (stand) => {
    const [first, second] = [one(stand), other(stand)];
    return (message, to) => first(message, to) ?? second(message, to);
  };
}

/** Sends other rows to the shadows of the next stage, one after the other, than to its primary. */
export function twoFaced({ member, network, plan }: Stand): Forge {
  return (message, to) => {
    if (message.type !== 'rows' || to === network.member(member.stage + 1, 'primary').id) return null;
    if (!plan.takes(message.rows.start)) return null;
    const bytes = new Uint8Array(message.rows.bytes.length);
    return Promise.resolve([{ ...message, rows: { ...message.rows, bytes }, digest: sha256(bytes) }]);
  };
}

export const late =
  <Statement extends Commit | Reveal>(byMs: number): Change<Statement> =>
  async (statement, { network, plan }) => {
    plan.hasLied(statement.start);
    await wait(network.clock, byMs);
    return [statement];
  };

export const LATE_COMMIT_MS = COMMIT_TIMEOUT_MS + 500;
export const LATE_REVEAL_MS = REVEAL_TIMEOUT_MS + 500;

/** The output chain that the primary of the same stage committed to, which somebody told it. */
export const copyCommit: Change<Commit> = async (commit, { network, member }) => {
  await wait(network.clock, 100);
  const primary = network.member(member.stage, 'primary').id;
  const said = network.links.log.findLast(
    ({ from, message }) =>
      from === primary &&
      message.type === 'commit' &&
      message.commit.statement.session === commit.session &&
      message.commit.statement.index === commit.index,
  );
  if (said?.message.type !== 'commit') return [commit];
  const { outputFrom, outputTo } = said.message.commit.statement;
  return [{ ...commit, outputFrom, outputTo }];
};

/** A replica that computed nothing shows its input, or zeros. */
export const guessReveal: Change<Reveal> = (reveal) => {
  const isAlike = reveal.input.length === reveal.output.length;
  return [{ ...reveal, output: isAlike ? reveal.input : new Uint8Array(reveal.output.length) }];
};

/** The sketch (or the logits) of what it should have computed, though it sent something else on. */
export const revealHonest: Change<Reveal> = (reveal, { manifest, honest }) => {
  const rows = honest.get(reveal.session)!.slice(reveal.start, reveal.end);
  const { hiddenSize } = manifest.config;
  const isHead = reveal.stage === 1;
  const values = (): Float32Array => rowValues(joined(rows), manifest.pins.boundary);
  const output = isHead ? joined(rows) : sketchRows(values(), hiddenSize, channelScale(manifest), reveal.seed);
  return [{ ...reveal, output }];
};

/** The chain of what it should have computed, though it sent something else on. */
export const commitHonest: Change<Commit> = (commit, { honest }) => {
  const rows = honest.get(commit.session)!;
  return [
    {
      ...commit,
      outputFrom: foldRows(CHAIN_START, rows.slice(0, commit.start)),
      outputTo: foldRows(CHAIN_START, rows.slice(0, commit.end)),
    },
  ];
};

export const flipped = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => {
  const changed = Uint8Array.from(bytes);
  changed[0]! ^= 1;
  return changed;
};

/** The commit of the span before, again. */
export const replay: Change<Commit> = (commit, { network, member }) => {
  const before = network.links.log.findLast(
    ({ from, message }) =>
      from === member.id && message.type === 'commit' && message.commit.statement.session === commit.session,
  );
  return before?.message.type === 'commit' ? [before.message.commit.statement] : null;
};

function wait(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.setTimer(resolve, delayMs));
}
