import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import type { CheckFailure } from '#shared/judge/finding.ts';
import { MAX_REASON_CHARACTERS } from '#shared/limits.ts';
import type { Proof } from '#shared/proof/proof-schema.ts';
import type { ProvenFault } from '#shared/proof/verify-proof.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import { TokenBucket } from '../gate/token-bucket.ts';
import type { Config } from '../machine/config.ts';
import type { DesksEnd, PeerAddress } from '../peer-router/control-router.ts';
import type { Member } from '../placement/registry.ts';
import type { Trust } from '../trust/trust.ts';

const HOUR_MS = 60 * 60_000;
/** After so many false reports in an hour, a peer's reports are not read for an hour. */
const MAX_FALSE_REPORTS = 5;

export type Report = Extract<PeerControlMessage, { type: 'report' }>;

/** For people; the other failures of a check are one's word against the other's and have no proof. */
const WORDS: { readonly [Failure in CheckFailure]?: string } = {
  'commit-doubled': 'it signed two different commits for one chunk',
  'reveal-doubled': 'it signed two different reveals for one chunk',
  'sketch-mismatch': 'it revealed another tensor than it committed to',
  'not-finite': 'it computed values that are no numbers',
  disagreement: 'it computed something else than the layers give',
};

export interface ReportDeskDeps {
  readonly clock: Clock;
  readonly trust: Pick<Trust, 'convict' | 'isProven'>;
  /** Throws a ChorusError for anything that is no proof. */
  readonly verify: (proof: Proof) => Promise<ProvenFault>;
  readonly send: DesksEnd['send'];
  /** A fault that was not known before; its key is suspended now. */
  readonly onConvicted: (fault: ProvenFault) => void;
  readonly onReport: (isAccepted: boolean) => void;
  /** A fault of ours while a proof was verified. */
  readonly onError: (error: unknown) => void;
  readonly limits: Pick<Config['limits'], 'reports' | 'reportsWaiting'>;
}

interface Sender {
  readonly bucket: TokenBucket;
  falseAtMs: number[];
  ignoredUntilMs: number;
  usedAtMs: number;
}

/**
 * Verifies what peers report of each other, one proof after the other, so that proofs keep the server from nothing
 * else. It believes nobody: a report that proves nothing counts against its sender, and does nothing else.
 */
export class ReportDesk {
  readonly #deps: ReportDeskDeps;
  readonly #senders = new Map<PeerId, Sender>();
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(deps: ReportDeskDeps) {
    this.#deps = deps;
  }

  receive(member: Member, report: Report): void {
    const { clock, limits } = this.#deps;
    const nowMs = clock.nowMs();
    const sender = this.#senders.get(member.id) ?? {
      bucket: new TokenBucket(limits.reports, () => clock.nowMs()),
      falseAtMs: [],
      ignoredUntilMs: -Infinity,
      usedAtMs: nowMs,
    };
    this.#senders.set(member.id, sender);
    sender.usedAtMs = nowMs;
    if (sender.ignoredUntilMs > nowMs) {
      return this.#answer(member, report, false, 'too many of your reports were false: they are not read for an hour');
    }
    if (!sender.bucket.take(1)) return this.#answer(member, report, false, 'you report too often');
    if (this.#waiting >= limits.reportsWaiting) {
      return this.#answer(member, report, false, 'too many reports wait to be verified: try again later');
    }
    this.#waiting += 1;
    this.#last = this.#last.then(async () => {
      await this.#judge(member, sender, report);
      this.#waiting -= 1;
    });
  }

  /** Forgets senders of whom nothing has been heard for an hour. To be called now and then. */
  prune(): void {
    const limitMs = this.#deps.clock.nowMs() - HOUR_MS;
    for (const [id, { usedAtMs }] of this.#senders) if (usedAtMs < limitMs) this.#senders.delete(id);
  }

  async #judge(from: PeerAddress, sender: Sender, report: Report): Promise<void> {
    const { trust, verify, onConvicted, onError } = this.#deps;
    try {
      const fault = await verify(report.proof);
      const { accused: volunteer, session, model, range } = fault;
      const reason = WORDS[fault.reason] ?? fault.reason;
      if (!trust.isProven(session, volunteer)) {
        await trust.convict({ volunteer, session, model, range, reason }, JSON.stringify(report.proof));
        onConvicted(fault);
      }
      this.#answer(from, report, true, reason);
    } catch (error) {
      const isTheirs = error instanceof ChorusError && error.code !== 'internal';
      if (isTheirs) this.#countFalse(sender);
      else onError(error);
      this.#answer(from, report, false, isTheirs ? error.message : 'the server failed on this report');
    }
  }

  #countFalse(sender: Sender): void {
    const nowMs = this.#deps.clock.nowMs();
    sender.falseAtMs = [...sender.falseAtMs.filter((atMs) => atMs > nowMs - HOUR_MS), nowMs];
    if (sender.falseAtMs.length >= MAX_FALSE_REPORTS) sender.ignoredUntilMs = nowMs + HOUR_MS;
  }

  #answer(to: PeerAddress, { request }: Report, isAccepted: boolean, reason: string): void {
    this.#deps.onReport(isAccepted);
    this.#deps.send(to, {
      type: 'reported',
      request,
      accepted: isAccepted,
      reason: reason.slice(0, MAX_REASON_CHARACTERS),
    });
  }
}
