import { equalBytes } from '../bytes.ts';
import { canonicalBase64 } from '../crypto/strict-envelope.ts';
import { peerIdOf, type VerifySignature } from '../crypto/identity.ts';
import { ChorusError } from '../errors.ts';
import type { PeerId } from '../ids.ts';
import { parseCheckpoint, type Checkpoint } from '../log/checkpoint.ts';
import { isIncluded, leafHash, pathRoot } from '../log/merkle.ts';
import { parseNote, type Note } from '../log/signed-note.ts';
import type { StageRange } from '../model/stage.ts';
import type { RosterDraw, SignedState, Skip, StageDrawRecord } from './draw-form.ts';
import { hashesIn } from './draw-path.ts';
import { rosterEntryBytes } from './draw-log.ts';
import { drawInput, drawRequestBytes, type DrawContext } from './draw-request.ts';
import { fitsPool, memberLeaf, networkLeaf, POOLS, sectionLeaf, type PoolName, type Section } from './roster.ts';
import { drawStage, MAX_UNSHOWN, type StageReader } from './stage-draw.ts';
import { verifyVrf } from './vrf.ts';
import { isBusy, isFresh, stateBytes } from './volunteer-state.ts';

/** What the draw is to have made. */
export interface DrawnRoute extends DrawContext {
  readonly issuedAtMs: number;
  readonly requesterKey: Uint8Array<ArrayBuffer>;
  readonly stages: readonly {
    readonly range: StageRange;
    readonly replicas: readonly { readonly id: PeerId; readonly numericClass: string }[];
  }[];
}

/** A draw that was made rightly. */
export interface VerifiedDraw {
  /** The checkpoint that the requester named; who signed it is for the caller to say. */
  readonly checkpoint: Checkpoint;
  readonly note: Note;
  readonly skips: Readonly<Record<Skip['reason'], number>>;
  /** For each stage, the networks that its primary was drawn among. */
  readonly networks: readonly number[];
}

/** Repeats a draw from its record. Throws `check-failed` with what is wrong. */
export async function verifyDraw(draw: RosterDraw, route: DrawnRoute, verify: VerifySignature): Promise<VerifiedDraw> {
  const { request, roster, count } = draw;
  demand(peerIdOf(route.requesterKey) === route.requester, 'the key of the requester is not that of its id');
  const asked = await verify(route.requesterKey, drawRequestBytes(request, route), canonicalBase64(request.signature));
  demand(asked, 'the requester did not sign this request: checkpoint, nonce and number are not shown to be its own');
  const { checkpoint, note } = checkpointOf(draw);
  const entry = leafHash(rosterEntryBytes(roster));
  demand(roster.index < checkpoint.size, 'the roster was made after the requester had named its nonce');
  const isLogged = isIncluded(entry, roster.index, checkpoint.size, hashesIn(roster.path), checkpoint.root);
  demand(isLogged, 'the roster is not in the log that the requester saw');
  const input = drawInput(request, route, roster.root);
  const output = verifyVrf(canonicalBase64(roster.publicKey), input, canonicalBase64(draw.proof));
  demand(output !== null, 'the proof of the draw is not one: its randomness is not that of the network’s key');
  demand(count.number >= 1, 'the requests of a network are counted from 1');
  demand(
    draw.stages.length === route.stages.length,
    `the draw is of ${draw.stages.length} stages, not of ${route.stages.length}`,
  );
  const skips = { busy: 0, 'left-out': 0, failed: 0, gone: 0 };
  const taken = new Set<string>();
  for (const [stage, record] of draw.stages.entries()) {
    const { range, replicas } = route.stages[stage]!;
    const where = `stage ${stage + 1}`;
    const section = sectionOf(record, range, draw, route, where);
    const reader = new RecordReader(record, section, draw, route, where, verify);
    const wish = { output, stage, range, requester: route.requester, shadows: request.shadows, networks: taken };
    const drawn = drawStage(wish, reader);
    demand(drawn !== null, `the draw of ${where} comes to nobody`);
    await reader.end();
    const [expected, given] = [[drawn.primary, ...drawn.shadows], replicas];
    const isSame =
      expected.length === given.length &&
      expected.every(({ member }, i) => member.id === given[i]!.id && member.numericClass === given[i]!.numericClass);
    demand(isSame, `the draw gives ${where} to others than the route does`);
    taken.add(drawn.primary.network);
    for (const { skip } of record.looks) if (skip !== null) skips[skip.reason] += 1;
  }
  return { checkpoint, note, skips, networks: draw.stages.map(({ pools }) => pools.lead.networks) };
}

/** Opens what a record shows, in its order and nothing else. */
class RecordReader implements StageReader {
  readonly #record: StageDrawRecord;
  readonly #section: Section;
  readonly #draw: RosterDraw;
  readonly #route: DrawnRoute;
  readonly #where: string;
  readonly #verify: VerifySignature;
  /** Signatures that are still to be looked at. */
  readonly #states: { readonly id: PeerId; readonly state: SignedState }[] = [];
  #opened = 0;
  /** Skips that the draw asked for. */
  #skipped = 0;
  #unshown = 0;

  constructor(
    record: StageDrawRecord,
    section: Section,
    draw: RosterDraw,
    route: DrawnRoute,
    where: string,
    verify: VerifySignature,
  ) {
    this.#record = record;
    this.#section = section;
    this.#draw = draw;
    this.#route = route;
    this.#where = where;
    this.#verify = verify;
  }

  networks(pool: PoolName): number {
    return this.#section.pools[pool].networks;
  }

  open(pool: PoolName, index: number, place: (members: number) => number) {
    const look = this.#record.looks[this.#opened];
    demand(look !== undefined, `the record of ${this.#where} ends before the draw does`);
    this.#opened += 1;
    const { network, members, path, memberPath, skip: _skip, ...member } = look;
    const at = place(members);
    demand(at !== undefined, `${look.id} is of a network that has no member left`);
    const root = pathRoot(memberLeaf(member), at, members, hashesIn(memberPath));
    const head = this.#section.pools[pool];
    const reached = root && pathRoot(networkLeaf({ network, members }, root), index, head.networks, hashesIn(path));
    demand(
      reached !== null && equalBytes(reached, head.root),
      `${look.id} is not where the draw of ${this.#where} points: ${pool}, network ${index + 1} of ${head.networks}, member ${at + 1} of ${members}`,
    );
    demand(fitsPool(pool, member, this.#section), `${look.id} does not belong to the pool ${pool} by its own entry`);
    return { network, member, members };
  }

  isSkipped(pool: PoolName): boolean {
    const { id, speed, skip } = this.#record.looks[this.#opened - 1]!;
    if (skip === null) return false;
    this.#skipped += 1;
    if (skip.reason === 'busy') {
      const { state } = skip;
      const isReason = isBusy(state, pool, { speed }, this.#section);
      demand(isReason, `${id} was skipped as busy, and its own state says that it was not`);
      demand(isFresh(state, this.#route.issuedAtMs), `${id} was skipped as busy by a state that is not of then`);
      this.#states.push({ id, state });
    } else {
      this.#unshown += 1;
      demand(
        this.#unshown <= MAX_UNSHOWN,
        `${this.#where} skips more than ${MAX_UNSHOWN} on the word of server or requester alone`,
      );
    }
    return true;
  }

  /** To be called after the draw: nothing else may be in the record, and what volunteers signed must be theirs. */
  async end(): Promise<void> {
    const { looks } = this.#record;
    demand(this.#opened === looks.length, `the record of ${this.#where} shows more than the draw came upon`);
    const claimed = looks.filter(({ skip }) => skip !== null).length;
    demand(claimed === this.#skipped, `the record of ${this.#where} skips somebody without need`);
    for (const { id, state } of this.#states) await this.#checkState(id, state);
  }

  async #checkState(id: PeerId, { publicKey, signature, ...state }: SignedState): Promise<void> {
    const key = canonicalBase64(publicKey);
    demand(peerIdOf(key) === id, `the state of ${id} is of another key`);
    const isSigned = await this.#verify(key, stateBytes(state, id, this.#route.server), canonicalBase64(signature));
    demand(isSigned, `${id} was skipped as busy, and did not sign that it was`);
  }
}

function checkpointOf({ checkpoint: text, request }: RosterDraw): { checkpoint: Checkpoint; note: Note } {
  const note = parseNote(text);
  const checkpoint = parseCheckpoint(note.text);
  const { size, root } = request.checkpoint;
  const isNamed = checkpoint.size === size && equalBytes(checkpoint.root, canonicalBase64(root));
  demand(isNamed, 'the checkpoint is not the one that the requester named');
  return { checkpoint, note };
}

function sectionOf(
  record: StageDrawRecord,
  range: StageRange,
  { roster }: RosterDraw,
  { model }: DrawnRoute,
  where: string,
): Section {
  const { members, fastest, hasExact, index, path } = record;
  const pools = Object.fromEntries(
    POOLS.map((name) => [
      name,
      { networks: record.pools[name].networks, root: canonicalBase64(record.pools[name].root) },
    ]),
  ) as Section['pools'];
  const section = { model, range, members, fastest, hasExact, pools };
  const isThere = isIncluded(
    sectionLeaf(section),
    index,
    roster.sections,
    hashesIn(path),
    canonicalBase64(roster.root),
  );
  demand(isThere, `what ${where} was drawn from is no part of the roster for this model and these layers`);
  return section;
}

function demand(holds: boolean, reason: string): asserts holds {
  if (!holds) throw new ChorusError('check-failed', reason);
}
