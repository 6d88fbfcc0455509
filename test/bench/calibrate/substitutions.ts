import { importWren, type ImportedWren } from '../../support/imported-wren.ts';
import { withNeighbourWeights, withThreeBits, withUnroundedWeights } from '../../support/traces/substitutes.ts';
import { chunkPlan, type TracedModel, type Tracer } from '../../support/traces/tracer.ts';
import { tracedWren, type TracedSession } from './trace-set.ts';

/** A model that a volunteer may hold in place of the one it was asked for. */
export interface Substitution {
  readonly model: TracedModel;
  /** Whether it costs a volunteer less than the honest model: other limits than these are for liars out of malice. */
  readonly isCheaper: boolean;
  /** The reason, in a few words. */
  readonly because: string;
}

/** The output of a liar's device for a session that honest devices were traced on. */
export interface SubstituteTrace extends Pick<Substitution, 'isCheaper' | 'because'> {
  readonly name: string;
  readonly numericClass: string;
  readonly of: TracedSession;
  readonly positions: number;
  readonly rows: Uint8Array<ArrayBuffer>;
}

/** The models that a volunteer may hold in place of `honest`. */
export async function substitutionsOf(honest: ImportedWren): Promise<Substitution[]> {
  const own = tracedWren(honest);
  const other = async (quant: 'q4' | 'q8' | 'fp32') => tracedWren(await importWren(quant));
  const unrounded = withUnroundedWeights(await other('fp32'));
  const fourBits = { model: await other('q4'), isCheaper: true, because: 'half the bytes of q8, an eighth of fp32' };
  switch (honest.manifest.pins.quantization) {
    case 'q4':
      return [
        { model: await other('q8'), isCheaper: false, because: 'twice the bytes' },
        { model: unrounded, isCheaper: false, because: 'eight times the bytes' },
        { model: withThreeBits(own), isCheaper: true, because: 'three quarters of the bytes' },
        { model: withNeighbourWeights(own), isCheaper: true, because: 'weights that it may hold already' },
      ];
    case 'q8':
      return [fourBits, { model: unrounded, isCheaper: false, because: 'four times the bytes' }];
    default:
      return [
        fourBits,
        { model: await other('q8'), isCheaper: true, because: 'a quarter of the bytes; but the same numbers' },
        { model: unrounded, isCheaper: false, because: 'as many bytes' },
      ];
  }
}

/** How far a tracer runs the liars: over the first `sessions` of each stage, and `positions` of each. */
export interface SubstituteRuns {
  readonly tracer: Tracer;
  readonly sessions: number;
  readonly positions: number;
}

/** Runs each liar over the sessions, on each device as far as it goes. */
export async function traceSubstitutes(
  sessions: readonly TracedSession[],
  substitutions: readonly Substitution[],
  devices: readonly SubstituteRuns[],
  say: (what: string) => void,
): Promise<SubstituteTrace[]> {
  const substitutes: SubstituteTrace[] = [];
  for (const { model, isCheaper, because } of substitutions) {
    say(`${model.name} instead`);
    for (const range of new Set(sessions.map((session) => session.range))) {
      const own = sessions.filter((session) => session.range === range);
      for (const device of devices) {
        const of = own.slice(0, device.sessions);
        const runs = of.map(({ input, traces: [first] }) => {
          const total = sum(first!.plan);
          const positions = Math.min(device.positions, total);
          return { input: input.slice(0, (positions * input.length) / total), plan: chunkPlan(positions) };
        });
        const rows = await device.tracer.trace(model, range, runs);
        of.forEach((session, i) => {
          const { numericClass } = device.tracer;
          const positions = sum(runs[i]!.plan);
          substitutes.push({
            ...{ name: model.name, isCheaper, because },
            ...{ numericClass, of: session, positions, rows: rows[i]! },
          });
        });
      }
    }
  }
  return substitutes;
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
