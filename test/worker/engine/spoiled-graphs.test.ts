import fc from 'fast-check';
import { AttributeProto_AttributeType } from 'onnx-buf';
import { expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { CutStage } from '#shared/model/cut.ts';
import { planStage } from '#shared/model/engine/plan-stage.ts';
import {
  NotPlanned,
  type MatrixSource,
  type Plan,
  type Rotary,
  type Step,
  type View,
  viewsOf,
} from '#shared/model/engine/plan.ts';
import { tensorByteLength, tensorDims } from '#shared/model/tensor-bytes.ts';
import { loadEngineGraph } from '../../../worker/engine/engine-graph.ts';
import { weightsInMemory } from '../../../worker/engine/weight-source.ts';
import { repetitions } from '../../support/effort.ts';
import { engineModule } from '../../support/engine-stand.ts';
import { splitQkv, type ShapeName } from '../../support/strange-graphs.ts';
import { syntheticShapes } from '../../support/synthetic-models.ts';
import { syntheticStages, wholeOf, type SyntheticStages } from '../../support/synthetic-stage.ts';

const shapes: readonly ShapeName[] = ['smolPackedQ4f16', 'qwenFp16', 'llamaQ8', 'smolFp32'];
const stages = new Map<ShapeName, SyntheticStages>();

function stagesOf(shape: ShapeName): SyntheticStages {
  const known = stages.get(shape) ?? syntheticStages({ ...syntheticShapes[shape], layers: 1 });
  stages.set(shape, known);
  return known;
}

/** One lie of a graph: of a node's attribute, of an integer constant, of a shape, or of what a node reads. */
interface Lie {
  readonly of: 'attribute' | 'integer' | 'shape' | 'input' | 'operator';
  readonly at: number;
  readonly index: number;
  readonly value: number;
  readonly other: number;
}

const lie: fc.Arbitrary<Lie> = fc.record({
  of: fc.constantFrom('attribute', 'integer', 'shape', 'input', 'operator'),
  at: fc.nat(1000),
  index: fc.nat(10),
  value: fc.oneof(fc.constantFrom(-4096, -32, -1, 0, 1, 2, 3, 4, 8, 16, 32, 64, 96, 128, 160, 4096), fc.integer()),
  other: fc.nat(1000),
});

function spoil({ model: { graph } }: CutStage, { of, at, index, value, other }: Lie): void {
  const pick = <T>(list: readonly T[], place: number): T => list[place % list.length]!;
  const node = pick(graph.node, at);
  switch (of) {
    case 'attribute': {
      if (node.attribute.length === 0) return;
      const attribute = pick(node.attribute, index);
      if (attribute.type === AttributeProto_AttributeType.INT) attribute.i = BigInt(value);
      else attribute.f = value;
      return;
    }
    case 'integer': {
      const tensors = graph.initializer.filter((tensor) => tensor.dataType === 7);
      if (tensors.length === 0) return;
      const tensor = pick(tensors, at);
      tensor.rawData = tensor.rawData.slice();
      const values = new BigInt64Array(tensor.rawData.buffer);
      if (values.length > 0) values[index % values.length] = BigInt(value);
      return;
    }
    case 'shape': {
      const tensor = pick(graph.initializer, at);
      if (index % 2 === 0) tensor.dims.reverse();
      // The same number of elements in another shape.
      else if (tensor.dims.length === 2 && tensor.dims[0]! % 4n === 0n) {
        tensor.dims = [tensor.dims[0]! / 4n, tensor.dims[1]! * 4n];
      }
      return;
    }
    case 'input': {
      if (node.input.length === 0) return;
      const names = ['', ...graph.node.flatMap((each) => each.output), ...graph.initializer.map(({ name }) => name)];
      node.input[index % node.input.length] = pick(names, other);
      return;
    }
    case 'operator':
      node.opType = pick(graph.node, other).opType;
  }
}

/** Nothing that a step reads or writes lies outside of its slots, tables and stores. */
function expectSound(plan: Plan, { hiddenSize, vocabularySize }: SyntheticStages['sizes']): void {
  const isWithin = ({ slot, offset, width }: View) =>
    Number.isInteger(offset) && offset >= 0 && offset % 4 === 0 && width > 0 && offset + width <= slot.width;
  const angles = ({ cosines, sines }: Rotary) => {
    expect(tensorDims(cosines)).toEqual(tensorDims(sines));
    return 2 * tensorDims(cosines)[1]!;
  };
  const sizeOf = (source: MatrixSource): readonly [number, number] => {
    if (source.kind !== 'plain') return [source.weight.rows, source.weight.columns];
    const [first, second] = tensorDims(source.tensor) as [number, number];
    return source.isTurned ? [second, first] : [first, second];
  };
  const check = (step: Step): boolean => {
    const { to } = step;
    switch (step.type) {
      case 'gather':
        return sizeOf(step.table)[0] >= vocabularySize && sizeOf(step.table)[1] === to.width;
      case 'product':
        return sizeOf(step.matrix).join() === [to.width, step.from.width].join();
      case 'norm':
        return to.width === step.from.width && to.width % step.size === 0 && step.size % 4 === 0;
      case 'binary':
      case 'unary':
      case 'select':
        return viewsOf(step).every(({ width }) => width === to.width && (width % 4 === 0 || step.type === 'select'));
      case 'rotate':
        return step.heads * angles(step.rotary) <= step.from.width && to.width === step.from.width && !to.isWanted;
      case 'attention': {
        const { heads, kvHeads, headSize, layer, query, key, value, rotary } = step;
        const fits = query.width === heads * headSize && key.width === kvHeads * headSize && value.width === key.width;
        const isTurned = rotary === null || angles(rotary) <= headSize;
        const isOfStore = kvHeads === plan.kvHeads && headSize === plan.headSize && layer < plan.layers;
        return fits && isTurned && isOfStore && heads % kvHeads === 0 && headSize % 4 === 0 && to.width === query.width;
      }
    }
  };
  for (const step of plan.steps) {
    expect(check(step), step.type).toBe(true);
    expect(viewsOf(step).every(isWithin), step.type).toBe(true);
    // Rows of all positions and of the wanted ones alone are not mixed.
    const isWanted = step.type === 'select' ? false : step.to.isWanted;
    expect(
      viewsOf(step).every(({ slot }) => slot.isWanted === isWanted),
      step.type,
    ).toBe(true);
  }
  expect(isWithin(plan.output)).toBe(true);
  expect(plan.output.width).toBe(plan.output.slot.isWanted ? vocabularySize : hiddenSize);
}

test('a graph with lies in it is refused, or its plan stays within what it was given, and runs', async () => {
  let planned = 0;
  const property = fc.asyncProperty(
    fc.constantFrom(...shapes),
    fc.boolean(),
    fc.array(lie, { minLength: 1, maxLength: 3 }),
    async (shape, isWhole, lies) => {
      const { cut, sizes } = stagesOf(shape);
      const own = cut(isWhole ? wholeOf(1) : { start: 0, end: 1, embedding: false, head: false });
      if (shape === 'smolPackedQ4f16') splitQkv(own, [96, 32, 32]);
      for (const each of lies) spoil(own, each);
      try {
        const plan = planStage({ ...own, ...sizes });
        expectSound(plan, sizes);
        // As cutting hands weights over: never fewer bytes than their shape says.
        const read: CutStage['read'] = (tensor) => {
          if (tensor.rawData.length === tensorByteLength(tensor)) return tensor.rawData;
          throw new ChorusError('bad-model', 'a weight of another length');
        };
        const { vocabularySize, hiddenSize } = sizes;
        const loaded = await loadEngineGraph({
          module: await engineModule(),
          plan,
          weights: weightsInMemory(read),
          vocabularySize,
        });
        const session = await loaded.open(6);
        const input = isWhole ? Uint32Array.of(1, 0, 159, 4, 5) : new Float32Array(5 * hiddenSize).fill(0.5);
        const rows = await session.forward(0, 5, input, isWhole ? [1, 4] : []);
        expect(rows).toHaveLength(isWhole ? 2 * vocabularySize : 5 * hiddenSize);
        planned++;
      } catch (error) {
        if (!(error instanceof NotPlanned) && !(error instanceof ChorusError)) throw error;
      }
    },
  );
  await fc.assert(property, { numRuns: repetitions(300, 5000) });
  expect(planned).toBeGreaterThan(10);
});
