import { ChorusError } from '../errors.ts';
import type { Span } from '../judge/statement.ts';
import { MAX_QUEUED_ROWS, RUN_TIMEOUT_MS } from '../limits.ts';
import { chunkEnd } from '../rows/chunk.ts';
import type { SignedSeat } from '../route/seat.ts';
import type { RunResult } from '../rows/compute.ts';
import type { CutMessage, OrderedMessage } from '../wire/row-order.ts';
import { rowsMessage } from '../wire/rows-message.ts';
import { inputOf, type Seat } from './admission.ts';
import type { Onward } from './onward.ts';
import type { ReplicaAudit, Signing } from './replica-audit.ts';
import type { SessionHost } from './session-host.ts';
import { StageTape } from './stage-tape.ts';

/** The run or cut that compute is at. */
type Job = OrderedMessage | { readonly type: 'again'; readonly end: number };

/**
 * The work of one session for its stage, one run at a time. A primary runs rows as they come and passes results on; a
 * shadow keeps them until the requester has them checked, and runs them a span at a time.
 */
export class StageRuns {
  readonly tape: StageTape;
  readonly #host: SessionHost;
  readonly #seat: Seat;
  readonly #session: Pick<SignedSeat, 'session' | 'capacity'>;
  readonly #audit: ReplicaAudit;
  readonly #onward: Onward;
  /** Messages in order that are not yet taken up. */
  #queue: OrderedMessage[] = [];
  #running: Job | null = null;
  #runByMs = Infinity;
  #sent = 0;

  constructor(
    host: SessionHost,
    seat: Seat,
    session: Pick<SignedSeat, 'session' | 'capacity'>,
    audit: ReplicaAudit,
    onward: Onward,
  ) {
    this.#host = host;
    this.#seat = seat;
    this.#session = session;
    this.#audit = audit;
    this.#onward = onward;
    this.tape = new StageTape(inputOf(host.config.loaded).kind);
  }

  /** When the run under way is taken as lost. */
  get deadlineMs(): number {
    return this.#runByMs;
  }

  /** The sequence number after that of the last rows that were passed on. */
  get sent(): number {
    return this.#sent;
  }

  /** Takes in what is next in order. Throws `rate-limited` if too much waits. */
  enqueue(message: OrderedMessage): void {
    if (message.type === 'cut') {
      // Rows that the cut makes worthless need not run; a cut that waits before it still needs those before that one.
      this.#queue = this.#queue.filter(
        (queued) => queued.type === 'cut' || queued.epoch < message.epoch - 1 || queued.rows.start < message.position,
      );
    }
    // A shadow's run takes as long as its primary's of a whole chunk, and what comes meanwhile is no flood.
    const most = this.#seat.role === 'shadow' ? this.#session.capacity : MAX_QUEUED_ROWS;
    if (this.#queue.length >= most) {
      throw new ChorusError('rate-limited', 'more rows wait than a session may have on the way');
    }
    this.#queue.push(message);
  }

  /** Takes up rows and cuts while nothing runs. */
  start(): void {
    while (this.#running === null) {
      const message = this.#queue.shift();
      if (message === undefined) return;
      this.#start(message);
    }
  }

  #start(message: OrderedMessage): void {
    const { session } = this.#session;
    if (message.type === 'cut') {
      if (message.position >= this.tape.computed) return this.#cut(message);
      this.#run(message);
      return this.#host.perform({ type: 'cut', session, position: message.position });
    }
    const { rows: input, logitsFrom } = message;
    this.tape.take(input, logitsFrom);
    if (this.#seat.role === 'shadow') return;
    this.#run(message);
    this.#host.perform({ type: 'run', session, input, logitsFrom });
  }

  #run(job: Job): void {
    this.#running = job;
    this.#runByMs = this.#host.nowMs + RUN_TIMEOUT_MS;
  }

  #cut(cut: CutMessage): void {
    this.tape.cut(cut.position);
    this.#audit.cut(cut.epoch, cut.position);
    this.#onward.send(cut);
  }

  onCutDone(): void {
    if (this.#running?.type === 'cut') this.#cut(this.#running);
    this.#running = null;
  }

  /** Takes what a run gave, and passes a primary's on. */
  onRan({ output, timings }: RunResult): void {
    const job = this.#running;
    this.#running = null;
    if (job === null || job.type === 'cut') return;
    const end = job.type === 'again' ? job.end : job.rows.start + job.rows.count;
    this.#host.count('positions', end - this.tape.computed);
    this.tape.complete(end, output);
    const { forward, stage } = this.#seat;
    if (job.type !== 'rows' || forward === null) return;
    const { session, epoch, sequence, chunk, logitsFrom } = job;
    const hops = [...job.hops, { ...timings, stage, onward: this.#onward.transport }];
    const place = { session, stage: forward.stage, epoch, sequence, chunk, logitsFrom };
    this.#sent = sequence + 1;
    this.#onward.send(rowsMessage({ ...place, rows: output, hops }));
  }

  /** Has commits to the spans that are computed signed; a shadow computes the first that is not. */
  commit(sign: (signing: Signing) => void): void {
    for (let span = this.#nextSpan(); span !== null; span = this.#nextSpan()) {
      if (this.tape.computed < span.end) {
        if (this.#seat.role === 'shadow' && this.#running === null) this.#runAgain(span);
        break;
      }
      sign(this.#audit.commit(this.tape.span(span.start, span.end)));
    }
    if (this.#running === null) this.#runByMs = Infinity;
  }

  /** True if a span is to be committed to whose rows have not come. */
  get isStarved(): boolean {
    const span = this.#audit.next;
    return span !== null && span.end > this.tape.received && this.#queue.length === 0;
  }

  /** The next span to commit to, if its rows are here. */
  #nextSpan(): Span | null {
    const span = this.#audit.next;
    return span !== null && span.end <= this.tape.received ? span : null;
  }

  /** One run for the span, after those for what a cut left unchecked before it. */
  #runAgain({ start, end: spanEnd }: Span): void {
    const from = this.tape.computed;
    const end = from < start ? Math.min(start, chunkEnd(from)) : spanEnd;
    this.#run({ type: 'again', end });
    const input = this.tape.rows(from, end);
    const logitsFrom = this.tape.logitsFrom(from, end);
    this.#host.perform({ type: 'run', session: this.#session.session, input, logitsFrom });
  }
}
