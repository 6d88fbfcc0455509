import { ed25519 } from '@noble/curves/ed25519.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { toBase64, toHex, utf8 } from '#shared/bytes.ts';
import { peerIdOf } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import type { RosterDraw, SignedState, Skip } from '#shared/draw/draw-form.ts';
import { rosterEntryBytes } from '#shared/draw/draw-log.ts';
import { drawInput, drawRequestBytes } from '#shared/draw/draw-request.ts';
import { joined } from '#shared/draw/draw-path.ts';
import { makeStageDraw, replicasOf, type MadeStage, type NotDrawn } from '#shared/draw/make-draw.ts';
import { networkDigest, type RosterMember } from '#shared/draw/roster.ts';
import { HashTree, RosterTree, type LeafMemo, type RosterEntry } from '#shared/draw/roster-tree.ts';
import { verifyDraw, type DrawnRoute, type VerifiedDraw } from '#shared/draw/verify-draw.ts';
import { stateBytes, type VolunteerState } from '#shared/draw/volunteer-state.ts';
import { VrfKey } from '#shared/draw/vrf.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import { checkpointText } from '#shared/log/checkpoint.ts';
import { leafHash } from '#shared/log/merkle.ts';
import type { StageRange } from '#shared/model/stage.ts';

/** A key pair made of a seed. */
export class SeededKey {
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly id: PeerId;
  readonly secretKey: Uint8Array<ArrayBuffer>;

  constructor(seed: string) {
    this.secretKey = sha256(utf8(seed));
    this.publicKey = Uint8Array.from(ed25519.getPublicKey(this.secretKey));
    this.id = peerIdOf(this.publicKey);
  }

  sign(message: Uint8Array): string {
    return toBase64(ed25519.sign(message, this.secretKey));
  }
}

export interface SeededVolunteer {
  readonly key: SeededKey;
  readonly network: string;
  readonly entry: RosterEntry;
}

export const RANGES: readonly StageRange[] = [
  { start: 0, end: 2, embedding: true, head: false },
  { start: 2, end: 4, embedding: false, head: true },
];
export const MODEL = 'a'.repeat(64) as Digest;
export const ISSUED_AT_MS = 1_800_000_000_000;
const CAPACITY = 256;

export function seededVolunteer(
  seed: string,
  network: string,
  facts: Partial<Omit<RosterMember, 'id'>> = {},
  key = new SeededKey(seed),
): SeededVolunteer {
  const {
    numericClass = 'int16/0123456789abcdef',
    speed = 16,
    isProven = true,
    isSteady = false,
    isMeasured = true,
  } = facts;
  const member = { id: key.id, numericClass, speed, isProven, isSteady, isMeasured };
  return { key, network, entry: { member, network: networkDigest(utf8('salt'), network), isExact: isMeasured } };
}

/** A network of seeded volunteers whose server draws from a roster in its log. */
export class DrawnNetwork {
  readonly server: SeededKey;
  readonly vrf: VrfKey;
  readonly stages: readonly (readonly SeededVolunteer[])[];
  readonly roster: RosterTree;
  readonly requester: SeededKey;

  /** `volunteers` of each of the two stages. */
  constructor(seed: string, stages: readonly (readonly SeededVolunteer[])[]) {
    this.server = new SeededKey(`${seed} server`);
    this.vrf = new VrfKey(sha256(utf8(`${seed} vrf`)));
    this.requester = new SeededKey(`${seed} requester`);
    this.stages = stages;
    this.roster = this.rosterOf(MODEL);
  }

  rosterOf(model: Digest, memo?: LeafMemo): RosterTree {
    return new RosterTree(
      this.stages.map((volunteers, stage) => ({
        model,
        range: RANGES[stage]!,
        entries: volunteers.map(({ entry }) => entry),
      })),
      memo,
    );
  }

  /** A draw as an honest server makes it, but for what `change` says. */
  draw(nonce: string, change: DrawChange = {}): { readonly draw: RosterDraw; readonly route: DrawnRoute } {
    const { roster = this.roster, rosterIndex = 3, logSize = 8, number = 1, skipOf = () => null } = change;
    const { vrf = this.vrf, model = MODEL } = change;
    const commitment = {
      sections: roster.tree.size,
      root: toBase64(roster.root),
      publicKey: toBase64(vrf.publicKey),
      atMs: ISSUED_AT_MS - 2_000,
    };
    const entries = Array.from({ length: 16 }, (_, i) =>
      leafHash(i === rosterIndex ? rosterEntryBytes(commitment) : utf8(`entry ${i}`)),
    );
    const log = new HashTree(entries.slice(0, logSize));
    const shown = new HashTree(rosterIndex < logSize ? entries.slice(0, logSize) : entries);
    const checkpoint = { origin: 'chorus.example/log', size: logSize, root: log.root };
    const asked = {
      checkpoint: { size: logSize, root: toBase64(log.root) },
      nonce: toHex(sha256(utf8(nonce)).slice(0, 16)),
      series: '0011223344556677',
      number,
      shadows: 1,
    };
    const context = { server: this.server.id, model, requester: this.requester.id, capacity: CAPACITY };
    const signature = this.requester.sign(drawRequestBytes(asked, context));
    const { proof, output } = vrf.prove(drawInput({ ...asked, ...change.drawnFor }, context, commitment.root));
    const networks = new Set<string>();
    const made = RANGES.map((range, stage) => {
      const section = roster.section(change.sectionModel ?? model, change.sectionRange ?? range)!;
      const wish = { output, stage, range, requester: this.requester.id, shadows: 1, networks };
      const drawn = makeStageDraw(roster, section, wish, skipOf);
      if (typeof drawn === 'string') throw new NotDrawnError(drawn);
      networks.add(drawn.primary.network);
      return drawn;
    });
    const draw: RosterDraw = {
      by: 'roster',
      request: { ...asked, signature },
      checkpoint: `${checkpointText(checkpoint)}\n\u2014 chorus.example/log ${toBase64(new Uint8Array(68))}\n`,
      roster: { ...commitment, index: rosterIndex, path: joined(shown.path(rosterIndex)) },
      proof: toBase64(proof),
      count: { epoch: '0123456789abcdef', network: networkDigest(utf8('salt'), 'requester'), number: 1 },
      stages: made.map(({ record }) => record),
    };
    return { draw, route: this.routeOf(made, context) };
  }

  /** A volunteer's own word that it has no slot left. */
  busy(id: PeerId, change: Partial<VolunteerState> = {}, signer?: SeededKey): Skip {
    const { key } = this.stages.flat().find((volunteer) => volunteer.key.id === id)!;
    const state = { sessions: 2, slots: 2, atMs: ISSUED_AT_MS - 1_000, ...change };
    const signature = (signer ?? key).sign(stateBytes(state, id, this.server.id));
    const signed: SignedState = { ...state, publicKey: toBase64(key.publicKey), signature };
    return { reason: 'busy', state: signed };
  }

  routeOf(
    made: readonly MadeStage[],
    context: Pick<DrawnRoute, 'server' | 'model' | 'requester' | 'capacity'>,
  ): DrawnRoute {
    return {
      ...context,
      issuedAtMs: ISSUED_AT_MS,
      requesterKey: this.requester.publicKey,
      stages: made.map((stage, i) => ({ range: RANGES[i]!, replicas: replicasOf(stage).map(({ member }) => member) })),
    };
  }

  verify({ draw, route }: { readonly draw: RosterDraw; readonly route: DrawnRoute }): Promise<VerifiedDraw> {
    return verifyDraw(draw, route, verifySignature);
  }
}

/** What a server does otherwise than it should. */
export interface DrawChange {
  readonly roster?: RosterTree;
  readonly model?: Digest;
  readonly sectionModel?: Digest;
  readonly sectionRange?: StageRange;
  readonly vrf?: VrfKey;
  readonly rosterIndex?: number;
  readonly logSize?: number;
  readonly number?: number;
  /** Drawn for another request than the one that was signed. */
  readonly drawnFor?: { readonly nonce?: string; readonly number?: number };
  readonly skipOf?: Parameters<typeof makeStageDraw>[3];
}

export class NotDrawnError extends Error {
  readonly reason: NotDrawn;

  constructor(reason: NotDrawn) {
    super(reason);
    this.reason = reason;
  }
}

/** So many volunteers of each of two stages, each of a network of its own, a third of them anchors or long trusted. */
export function volunteersOf(seed: string, count: number): SeededVolunteer[][] {
  return RANGES.map((_, stage) =>
    Array.from({ length: count }, (_, i) =>
      seededVolunteer(`${seed} ${stage} ${i}`, `10.${stage}.${i}`, { isSteady: i % 3 === 0 }),
    ),
  );
}
