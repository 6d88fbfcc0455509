import { sha256 } from '@noble/hashes/sha2.js';
import type { PeerId } from '#shared/ids.ts';
import { commitBytes, revealBytes } from '#shared/judge/statement-codec.ts';
import type { Commit, Reveal, Signed } from '#shared/judge/statement.ts';
import type { Rows } from '#shared/rows/rows.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { scaled } from './checked-network.ts';
import { toySignature, type ToyNetwork, type ToyVolunteer } from './toy-network.ts';

/** How a liar lies, and about which positions. */
export interface Lie {
  readonly kind: LieKind;
  /** The first position it lies about. */
  readonly start: number;
}

/** A message in place of one that the liar would send; null to send none. */
type Forge = (message: PeerMessage, start: number, to: PeerId) => PeerMessage | null;

const flipped = (bytes: Uint8Array<ArrayBuffer>) => bytes.map((byte) => byte ^ 0x55);

const forgeCommit =
  (change: (statement: Commit) => Partial<Commit>): Forge =>
  (message, start) => {
    if (message.type !== 'commit' || message.commit.statement.end <= start) return message;
    const { statement, publicKey } = message.commit;
    const forged = { ...statement, ...change(statement) };
    return { type: 'commit', commit: signed(forged, publicKey, commitBytes(forged)) };
  };

const forgeReveal =
  (change: (statement: Reveal) => Partial<Reveal>): Forge =>
  (message, start) => {
    if (message.type !== 'reveal' || message.reveal.statement.end <= start) return message;
    const { statement, publicKey } = message.reveal;
    const forged = { ...statement, ...change(statement) };
    return { type: 'reveal', reveal: signed(forged, publicKey, revealBytes(forged)) };
  };

function signed<Statement>(statement: Statement, publicKey: Uint8Array<ArrayBuffer>, bytes: Uint8Array<ArrayBuffer>) {
  return { statement, publicKey, signature: toySignature(publicKey, bytes) } satisfies Signed<Statement>;
}

const silent =
  (type: PeerMessage['type']): Forge =>
  (message, start) => {
    if (message.type !== type) return message;
    if (message.type === 'commit' && message.commit.statement.end <= start) return message;
    if (message.type === 'reveal' && message.reveal.statement.end <= start) return message;
    return null;
  };

/** Other rows than it computed go on, with the digest that belongs to them. */
const forgeRows =
  (isFor: (to: PeerId) => boolean): Forge =>
  (message, start, to) => {
    if (message.type !== 'rows' || message.rows.start + message.rows.count <= start || !isFor(to)) return message;
    const rows = message.rows.kind === 'logits' ? swapped(message.rows) : scaled(-1, start)(message.rows);
    return { ...message, rows, digest: sha256(rows.bytes) };
  };

/** Logits whose first two tokens have changed places. */
export function swapped(rows: Rows): Rows {
  const bytes = rows.bytes.slice();
  const view = new DataView(bytes.buffer);
  if (rows.count > 0) {
    const [first, second] = [view.getUint32(4, true), view.getUint32(12, true)];
    view.setUint32(4, second, true);
    view.setUint32(12, first, true);
  }
  return { ...rows, bytes };
}

const tampers = {
  'computes the negative': (rows, start) => (rows.kind === 'logits' ? swapped(rows) : scaled(-1, start)(rows)),
  'computes a little more': (rows, start) => (rows.kind === 'logits' ? swapped(rows) : scaled(1.001, start)(rows)),
  'computes nothing': (rows, start) => (rows.kind === 'logits' ? swapped(rows) : scaled(0, start)(rows)),
  'computes no numbers': (rows, start) => (rows.kind === 'logits' ? swapped(rows) : scaled(NaN, start)(rows)),
} satisfies Record<string, (rows: Rows, start: number) => Rows>;

const forges = {
  'commits to another output': forgeCommit(({ outputTo }) => ({ outputTo: flipped(outputTo) })),
  'commits to another input': forgeCommit(({ inputTo }) => ({ inputTo: flipped(inputTo) })),
  'commits to another start': forgeCommit(({ outputFrom }) => ({ outputFrom: flipped(outputFrom) })),
  'commits to another span': forgeCommit(({ end }) => ({ end: end - 1 })),
  'commits to other shapes': forgeCommit(({ shapes }) => ({ shapes: flipped(shapes) })),
  'commits to nothing': silent('commit'),
  'reveals under another seed': forgeReveal(({ seed }) => ({ seed: flipped(seed) })),
  'reveals another output': forgeReveal(({ output }) => ({ output: new Uint8Array(output.length) })),
  'reveals another input': forgeReveal(({ input }) => ({ input: new Uint8Array(input.length) })),
  'reveals too little': forgeReveal(({ output }) => ({ output: output.slice(0, -4) })),
  'reveals nothing': silent('reveal'),
  'gives nothing back': silent('recalled'),
  'sends other rows than it computed': forgeRows(() => true),
  'sends nothing': silent('rows'),
} satisfies Record<string, Forge>;

const others = [
  'sends each receiver other rows',
  'says that it was sent what is no number',
  'leaves',
  'does not sign',
  'sends rows that are not their digest',
] as const;

export type LieKind = keyof typeof tampers | keyof typeof forges | (typeof others)[number];
export const lieKinds = [...Object.keys(tampers), ...Object.keys(forges), ...others] as readonly LieKind[];

/** Makes liars of these volunteers. */
export function corrupt(network: ToyNetwork, liars: readonly (readonly [ToyVolunteer, Lie])[]): void {
  const forgeOf = new Map<PeerId, (message: PeerMessage, to: PeerId) => PeerMessage | null>();
  for (const [liar, { kind, start }] of liars) {
    if (kind in tampers) {
      const tamper = tampers[kind as keyof typeof tampers];
      liar.compute.tamper = (rows) => (rows.start + rows.count > start ? tamper(rows, start) : rows);
    } else if (kind === 'leaves') {
      network.clock.setTimer(() => network.links.kill(liar.id), 3 * start);
    } else {
      const forge = forgeFor(network, kind);
      forgeOf.set(liar.id, (message, to) => forge(message, start, to));
    }
  }
  network.links.rewrite = (message, from, to) => forgeOf.get(from)?.(message, to) ?? message;
  network.links.fate = (message, from, to) => (forgeOf.get(from)?.(message, to) === null ? [] : [1]);
}

function forgeFor(network: ToyNetwork, kind: LieKind): Forge {
  switch (kind) {
    case 'sends each receiver other rows':
      return forgeRows((to) => network.volunteers.findIndex(({ id }) => id === to) % 2 === 1);
    case 'says that it was sent what is no number':
      return (message, start) => {
        if (message.type !== 'commit' || message.commit.statement.end <= start) return message;
        const { session, stage } = message.commit.statement;
        const sender = network.routes.find((route) => route.session === session)?.stages[stage - 1]?.primary.id;
        if (sender === undefined) return message;
        const text = 'the rows hold what is no number';
        return { type: 'fault', session, stage, code: 'bad-message', message: text, volunteer: sender };
      };
    case 'does not sign':
      return (message) =>
        message.type === 'commit'
          ? { type: 'commit', commit: { ...message.commit, signature: new Uint8Array(64) } }
          : message;
    case 'sends rows that are not their digest':
      return (message, start) =>
        message.type === 'rows' && message.rows.start >= start
          ? { ...message, digest: flipped(message.digest) }
          : message;
    default:
      return forges[kind as keyof typeof forges];
  }
}
