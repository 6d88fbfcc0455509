import { collectDefaultMetrics, Counter, Gauge, Registry as MetricsRegistry } from 'prom-client';
import type { LogFigures } from '../log/log-service.ts';
import type { HiddenSums } from '../hidden/hidden-figures.ts';
import type { WitnessStatus } from '../log/witness-client.ts';

/** The figures behind `/metrics`. None carries an id, an address or a text. */
export interface Metrics {
  readonly contentType: string;
  text(): Promise<string>;
  readonly sessions: Counter<'outcome'>;
  readonly tokens: Counter;
  readonly chunks: Counter<'tier'>;
  readonly reports: Counter<'accepted'>;
  readonly replays: Counter<'role' | 'outcome'>;
  readonly claims: Counter<'outcome'>;
  readonly receipts: Counter;
  readonly receiptsRefused: Counter<'reason'>;
  readonly refusals: Counter<'code'>;
  readonly relayFrames: Counter;
  readonly relayBytes: Counter;
  readonly controlErrors: Counter<'code'>;
  readonly upgradesRefused: Counter<'status'>;
}

/** Values that are read when somebody asks. */
export interface MetricSources {
  readonly volunteers: () => Readonly<Record<'idle' | 'loading' | 'ready' | 'paused', number>>;
  readonly running: () => number;
  readonly queued: () => number;
  readonly sockets: () => number;
  readonly suspended: () => number;
  readonly log: () => LogFigures | null;
  /** True while the store takes nothing. */
  readonly isStoreFailing: () => boolean;
  /** Of an hour ago at most. */
  readonly hidden: () => HiddenSums;
}

export function createMetrics(sources: MetricSources): Metrics {
  const registry = new MetricsRegistry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  gauge('chorus_sessions_running', 'Sessions that hold slots now.', sources.running);
  gauge('chorus_requests_queued', 'Requests for a route that wait.', sources.queued);
  gauge('chorus_sockets_open', 'Open WebSockets.', sources.sockets);
  gauge('chorus_volunteers_suspended', 'Keys that get no work after a proven fault.', sources.suspended);
  gauge('chorus_log_entries', 'Entries of the transparency log.', () => sources.log()?.size ?? 0);
  gauge('chorus_store_failing', '1 while the disk takes nothing for the database.', () =>
    sources.isStoreFailing() ? 1 : 0,
  );
  gauge('chorus_log_in_doubt', '1 while the log takes no entries.', () => (sources.log()?.doubt ? 1 : 0));
  new Gauge({
    name: 'chorus_log_checkpoint_time_seconds',
    help: 'When the newest checkpoint was signed; before the first since the start, when its file was changed last.',
    registers,
    collect() {
      const headAtMs = sources.log()?.headAtMs;
      if (typeof headAtMs === 'number') this.set(headAtMs / 1000);
      else this.remove();
    },
  });
  const witnessGauge = (name: string, help: string, read: (witness: WitnessStatus) => number | null): void => {
    new Gauge({
      name,
      help,
      labelNames: ['witness'],
      registers,
      collect() {
        for (const witness of sources.log()?.witnesses ?? []) {
          const value = read(witness);
          if (value !== null) this.set({ witness: witness.name }, value);
        }
      },
    });
  };
  witnessGauge('chorus_log_witness_entries', 'Entries that a witness has cosigned.', ({ size }) => size ?? 0);
  witnessGauge('chorus_log_witness_lag_entries', 'Entries that a witness has not cosigned.', ({ size }) =>
    Math.max(0, (sources.log()?.size ?? 0) - (size ?? 0)),
  );
  witnessGauge('chorus_log_witness_time_seconds', 'When a witness cosigned last.', ({ timeSeconds }) => timeSeconds);
  witnessGauge('chorus_log_witness_failing', '1 if a witness did not cosign when asked last.', ({ error }) =>
    error === null ? 0 : 1,
  );
  const hiddenCounter = (name: string, help: string, read: (sums: HiddenSums) => number): void => {
    new Counter({
      name,
      help: `${help} Renewed once an hour.`,
      registers,
      collect() {
        this.reset();
        this.inc(read(sources.hidden()));
      },
    });
  };
  new Counter({
    name: 'chorus_hidden_sessions_total',
    help: 'Answers that the server asked for itself, to see what volunteers do. Renewed once an hour.',
    labelNames: ['kind', 'outcome'],
    registers,
    collect() {
      this.reset();
      for (const [kind, outcomes] of Object.entries(sources.hidden().sessions))
        for (const [outcome, count] of Object.entries(outcomes)) this.inc({ kind, outcome }, count);
    },
  });
  hiddenCounter('chorus_hidden_tokens_total', 'Tokens of hidden sessions.', ({ tokens }) => tokens);
  hiddenCounter('chorus_hidden_anchor_ms_total', 'Milliseconds in which anchors had a hidden session.', (sums) =>
    Math.round(sums.anchorMs),
  );
  hiddenCounter(
    'chorus_lost_draws_found_total',
    'Times that a key was found to steer by near ties.',
    (sums) => sums.steerers,
  );
  new Gauge({
    name: 'chorus_volunteers',
    help: 'Volunteers by state.',
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, count] of Object.entries(sources.volunteers())) this.set({ state }, count);
    },
  });
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    sessions: new Counter({
      name: 'chorus_sessions_total',
      help: 'Sessions that ended.',
      labelNames: ['outcome'],
      registers,
    }),
    tokens: new Counter({ name: 'chorus_tokens_total', help: 'Tokens of ended sessions.', registers }),
    chunks: new Counter({
      name: 'chorus_chunks_total',
      help: 'Chunks of ended sessions by verdict, as requesters report them.',
      labelNames: ['tier'],
      registers,
    }),
    reports: new Counter({
      name: 'chorus_reports_total',
      help: 'Reports of faults.',
      labelNames: ['accepted'],
      registers,
    }),
    replays: new Counter({
      name: 'chorus_replays_total',
      help: 'Requests for a third replica that ended or were refused.',
      labelNames: ['role', 'outcome'],
      registers,
    }),
    claims: new Counter({
      name: 'chorus_claims_total',
      help: 'Claims of replicas for credit, by what they brought.',
      labelNames: ['outcome'],
      registers,
    }),
    receipts: new Counter({ name: 'chorus_receipts_total', help: 'Receipts put into the log.', registers }),
    receiptsRefused: new Counter({
      name: 'chorus_receipts_refused_total',
      help: 'Receipts refused, by the check that failed or the code of the error.',
      labelNames: ['reason'],
      registers,
    }),
    refusals: new Counter({
      name: 'chorus_routes_refused_total',
      help: 'Requests for a route refused.',
      labelNames: ['code'],
      registers,
    }),
    relayFrames: new Counter({ name: 'chorus_relay_frames_total', help: 'Frames passed on by the relay.', registers }),
    relayBytes: new Counter({ name: 'chorus_relay_bytes_total', help: 'Bytes passed on by the relay.', registers }),
    controlErrors: new Counter({
      name: 'chorus_control_errors_total',
      help: 'Control sockets closed for a fault.',
      labelNames: ['code'],
      registers,
    }),
    upgradesRefused: new Counter({
      name: 'chorus_upgrades_refused_total',
      help: 'WebSocket upgrades refused.',
      labelNames: ['status'],
      registers,
    }),
  };
}
