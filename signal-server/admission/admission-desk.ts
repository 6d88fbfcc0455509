import { toBase64 } from '#shared/bytes.ts';
import type { Clock } from '#shared/clock.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import { MAX_REASON_CHARACTERS, WORK_PUZZLES } from '#shared/limits.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import { TokenBucket } from '../gate/token-bucket.ts';
import type { Config } from '../machine/config.ts';
import type { DeskMessage, DesksEnd, PeerAddress } from '../peer-router/control-router.ts';
import type { Member } from '../placement/registry.ts';
import type { WorkChecks } from './work-checks.ts';
import { epochOf } from './work-seeds.ts';

/** Puzzles of shown work that are checked, drawn when it has come: whoever leaves some out saves less than it loses. */
const CHECKED_PUZZLES = 2;
const WAITING = 'the server waits for this device’s proof of work before it gives it layers';

type Held = Extract<DeskMessage, { type: 'offer' | 'ready' }>;

/** A volunteer that has not shown its work yet. */
interface Applicant {
  readonly member: Member;
  /** True where it is given a stage meanwhile. */
  readonly isEarly: boolean;
  /** What it said and that counts once it is admitted. */
  held: readonly Held[];
  isChecking: boolean;
  readonly stopTimer: () => void;
}

export interface AdmissionDeskDeps {
  readonly clock: Clock;
  /** Tries that work takes on average; 0 for none. */
  readonly tries: number;
  readonly seedOf: Promise<(peer: PeerId, epoch: number) => Uint8Array<ArrayBuffer>>;
  readonly checks: Pick<WorkChecks, 'check'>;
  /** A whole number below `count`. */
  readonly drawBelow: (count: number) => number;
  readonly send: DesksEnd['send'];
  /** Keys of the server's own show nothing. */
  readonly isOwn: (id: PeerId) => boolean;
  /** A message that was kept counts now. */
  readonly onAdmitted: (from: PeerAddress, message: Held) => void;
  readonly limits: Pick<Config['limits'], 'unprovenPerAddress' | 'unproven' | 'falseWork'>;
  readonly times: Pick<Config['times'], 'workMs'>;
  readonly onError: (error: unknown) => void;
}

/**
 * Keeps volunteers from work until they have shown some: a key alone costs nothing. A few of each address load their stage meanwhile,
 * so that whoever comes alone loses no time; none of them is ready before.
 */
export class AdmissionDesk {
  readonly #deps: AdmissionDeskDeps;
  readonly #applicants = new Map<PeerId, Applicant>();
  /** Connections that nothing is asked of any more, however long they last. */
  readonly #passed = new WeakSet<Member>();
  /** The epoch of the newest work of each key. */
  readonly #admitted = new Map<PeerId, number>();
  readonly #falseWork = new Map<string, TokenBucket>();
  #prunedEpoch = 0;

  constructor(deps: AdmissionDeskDeps) {
    this.#deps = deps;
  }

  /** True for a message of a volunteer that counts now; any other is kept, or dropped where a later one takes its place. */
  lets(member: Member, message: DeskMessage): boolean {
    if (this.#passed.has(member)) return true;
    if (this.#isAdmitted(member.id)) {
      this.#passed.add(member);
      return true;
    }
    const applicant = this.#applicants.get(member.id);
    switch (message.type) {
      case 'offer': {
        const asked = applicant ?? this.#ask(member);
        asked.held = asked.isEarly ? [] : [message];
        if (!asked.isEarly) this.#deps.send(member, { type: 'idle', reason: WAITING });
        return asked.isEarly;
      }
      case 'ready':
        if (applicant?.isEarly) applicant.held = [message];
        return false;
      case 'pause':
      case 'withdraw':
        if (applicant !== undefined) applicant.held = [];
        return true;
      default:
        return true;
    }
  }

  /** Throws `bad-message` for work that was not asked for, and `rate-limited` where an address has shown too much that was false. */
  receive(member: Member, { epoch, nonces }: Extract<PeerControlMessage, { type: 'worked' }>): void {
    // What its key showed on the connection before has been found right meanwhile.
    if (this.#passed.has(member)) return;
    const applicant = this.#applicants.get(member.id);
    if (applicant === undefined || applicant.isChecking)
      throw new ChorusError(
        'bad-message',
        'work was shown that nobody asked for; it is shown once, when it is asked for',
      );
    const now = this.#epoch;
    if (epoch > now)
      throw new ChorusError('bad-message', 'the work is of an hour to come; show that which was asked for');
    if (epoch < now - 1) return this.#sendWork(member);
    if (this.#falseWorkOf(member.client).fill * this.#deps.limits.falseWork.burst < 1)
      throw new ChorusError('rate-limited', 'too much false work from this network address; try again in some minutes');
    applicant.isChecking = true;
    this.#check(applicant, epoch, nonces).catch((thrown: unknown) => {
      if (!(thrown instanceof ChorusError)) this.#deps.onError(thrown);
      this.#fail(applicant, toChorusError(thrown));
    });
  }

  left({ id }: Pick<Member, 'id'>): void {
    this.#applicants.get(id)?.stopTimer();
    this.#applicants.delete(id);
  }

  get #epoch(): number {
    return epochOf(this.#deps.clock.wallMs());
  }

  #isAdmitted(id: PeerId): boolean {
    const { tries, isOwn } = this.#deps;
    return tries === 0 || isOwn(id) || (this.#admitted.get(id) ?? -Infinity) >= this.#epoch - 1;
  }

  #ask(member: Member): Applicant {
    const { clock, limits, times } = this.#deps;
    const early = [...this.#applicants.values()].filter(({ isEarly }) => isEarly);
    const isEarly =
      early.length < limits.unproven &&
      early.filter(({ member: { client } }) => client === member.client).length < limits.unprovenPerAddress;
    const late = new ChorusError('timeout', `no proof of work within ${times.workMs / 1000} s; connect again`);
    const stopTimer = clock.setTimer(() => this.#fail(applicant, late), times.workMs);
    const applicant: Applicant = { member, isEarly, held: [], isChecking: false, stopTimer };
    this.#applicants.set(member.id, applicant);
    this.#sendWork(member);
    return applicant;
  }

  #sendWork(member: Member): void {
    const { seedOf, send, tries, onError } = this.#deps;
    const epoch = this.#epoch;
    seedOf.then(
      (seed) => send(member, { type: 'work', epoch, seed: toBase64(seed(member.id, epoch)), tries }),
      onError,
    );
  }

  async #check(applicant: Applicant, epoch: number, nonces: readonly number[]): Promise<void> {
    const { seedOf, checks, tries } = this.#deps;
    const { id, client } = applicant.member;
    const shown = this.#drawPuzzles().map((puzzle) => ({ puzzle, nonce: nonces[puzzle]! }));
    const seed = (await seedOf)(id, epoch);
    if (await checks.check(client, { seed, tries, shown })) return this.#admit(id, epoch);
    this.#falseWorkOf(client).take(1);
    throw new ChorusError('bad-message', 'the work shown is wrong; it must be done anew');
  }

  #drawPuzzles(): number[] {
    const left = Array.from({ length: WORK_PUZZLES }, (_, puzzle) => puzzle);
    return Array.from({ length: CHECKED_PUZZLES }, () => left.splice(this.#deps.drawBelow(left.length), 1)[0]!);
  }

  /** Good for the key on whatever connection it has by now. */
  #admit(id: PeerId, epoch: number): void {
    this.#prune();
    this.#admitted.set(id, epoch);
    const applicant = this.#applicants.get(id);
    if (applicant === undefined) return;
    this.left({ id });
    this.#passed.add(applicant.member);
    this.#deps.send(applicant.member, { type: 'admitted' });
    for (const message of applicant.held) this.#deps.onAdmitted(applicant.member, message);
  }

  #fail({ member }: Applicant, { code, message }: ChorusError): void {
    if (this.#applicants.get(member.id)?.member !== member) return;
    this.left(member);
    this.#deps.send(member, { type: 'error', code, message: message.slice(0, MAX_REASON_CHARACTERS) });
  }

  /** Once in an epoch, so that nothing is kept longer than it counts. */
  #prune(): void {
    const now = this.#epoch;
    if (now === this.#prunedEpoch) return;
    this.#prunedEpoch = now;
    for (const [id, epoch] of this.#admitted) if (epoch < now - 1) this.#admitted.delete(id);
    for (const [client, bucket] of this.#falseWork) if (bucket.fill === 1) this.#falseWork.delete(client);
  }

  #falseWorkOf(client: string): TokenBucket {
    const known = this.#falseWork.get(client);
    const bucket = known ?? new TokenBucket(this.#deps.limits.falseWork, () => this.#deps.clock.nowMs());
    if (known === undefined) this.#falseWork.set(client, bucket);
    return bucket;
  }
}
