import type { NodeProto, TensorProto } from 'onnx-buf';
import { ggufWeight, isGgufNode } from '../gguf-weight.ts';
import { floatAttribute, intAttribute } from '../node-attributes.ts';
import { quantizedWeight, weightFinder, type FindWeight } from '../quantized-weights.ts';
import { tensorDims } from '../tensor-bytes.ts';
import { castsToFloat, elementCount, GraphConstants, isFloat } from './graph-constants.ts';
import { attentionOf, partOf, swapsAxes, unaryOf } from './node-forms.ts';
import {
  BLOCK_COLUMNS,
  NotPlanned,
  whole,
  type Attention,
  type BinaryOperation,
  type MatrixSource,
  type Plan,
  type PlannedGraph,
  type Rotary,
  type Slot,
  type Step,
  type UnaryOperation,
  type View,
} from './plan.ts';
import { checkTurned, type TurningAttention } from './turned-rows.ts';

const BINARY: ReadonlyMap<string, BinaryOperation> = new Map([
  ['Add', 'add'],
  ['Sub', 'subtract'],
  ['Mul', 'multiply'],
  ['Div', 'divide'],
]);
/** Operators that leave the numbers of a row as they are. Half floats are computed with as f32, as folding does. */
const PASSING = new Set(['Cast', 'Identity', 'Reshape']);

/**
 * The plan of a stage, from the operators of its graph and the shapes of its weights alone. Throws NotPlanned naming what
 * the engine does not know; onnxruntime then runs the graph.
 */
export function planStage(graph: PlannedGraph): Plan {
  return new Planner(graph).plan();
}

class Planner {
  readonly #graph: PlannedGraph;
  readonly #makers: ReadonlyMap<string, NodeProto>;
  readonly #constants: GraphConstants;
  readonly #find: FindWeight;
  readonly #views = new Map<string, View>();
  /** Of values whose rows are reshaped into parts: how many numbers a part has. */
  readonly #parts = new Map<string, number>();
  readonly #turning: TurningAttention[] = [];
  readonly #readers = new Map<string, number>();
  readonly #steps: Step[] = [];
  readonly #slots: Slot[] = [];
  #input: Slot | null = null;
  #layers = 0;
  #heads: { kvHeads: number; headSize: number } | null = null;

  constructor(graph: PlannedGraph) {
    this.#graph = graph;
    const { node } = graph.model.graph;
    this.#makers = new Map(node.flatMap((each) => each.output.map((output) => [output, each] as const)));
    this.#constants = new GraphConstants(graph.model.graph, this.#makers);
    this.#find = weightFinder(graph.model.graph);
    for (const input of node.flatMap((each) => each.input)) {
      this.#readers.set(input, (this.#readers.get(input) ?? 0) + 1);
    }
  }

  plan(): Plan {
    const { io, hiddenSize, vocabularySize } = this.#graph;
    const output = this.#view(io.output);
    const isHead = io.logitsIndex !== null;
    const width = isHead ? vocabularySize : hiddenSize;
    if (output.width !== width || output.slot.isWanted !== isHead || this.#parts.has(io.output)) {
      throw new NotPlanned(this.#makers.get(io.output) ?? null, `makes rows of ${output.width} numbers, not ${width}`);
    }
    // A stage's last keys and values are read by nothing else of it.
    for (const { presentKey } of io.past) this.#attention(presentKey);
    if (this.#layers !== io.past.length) throw new NotPlanned(null, 'layers without an attention of their own');
    checkTurned(this.#turning, this.#steps, output);
    const { kvHeads, headSize } = this.#heads ?? { kvHeads: 1, headSize: 4 };
    return { steps: this.#steps, input: this.#input, output, layers: this.#layers, kvHeads, headSize };
  }

  #attention(presentKey: string): void {
    const node = this.#makers.get(presentKey);
    if (node?.opType !== 'GroupQueryAttention') throw new NotPlanned(node ?? null, 'keys that no attention makes');
    this.#view(node.output[0] ?? '');
  }

  /** Nodes are in order, so what `value` is made of is never deeper than one node's inputs are wide. */
  #view(value: string): View {
    const known = this.#views.get(value);
    if (known !== undefined) return known;
    const { hidden } = this.#graph.io;
    // Each maker is visited before its readers, without recursion over the whole graph.
    const pending = [value];
    for (let top = pending.at(-1); top !== undefined; top = pending.at(-1)) {
      if (top === hidden) this.#remember(top, this.#openInput());
      if (this.#views.has(top)) {
        pending.pop();
        continue;
      }
      const node = this.#makers.get(top);
      if (node === undefined) throw new NotPlanned(null, `nothing that the engine knows makes ${top.slice(0, 200)}`);
      const missing = this.#rowInputs(node).filter((input) => !this.#views.has(input));
      if (missing.length === 0) {
        this.#make(node);
        if (!this.#views.has(top)) throw new NotPlanned(node, `its output ${top.slice(0, 200)} is not known`);
      } else if (missing.includes('')) {
        throw new NotPlanned(node, 'lacks an input');
      } else {
        pending.push(missing[0]!);
        if (pending.length > this.#makers.size + 1) throw new NotPlanned(node, 'depends on itself');
      }
    }
    return this.#views.get(value)!;
  }

  /** Inputs of a node that are rows. */
  #rowInputs(node: NodeProto): string[] {
    const { input, opType } = node;
    switch (opType) {
      case 'Gather':
        return this.#isTable(node) ? [] : [input[0] ?? ''];
      case 'GatherBlockQuantized':
      case 'GgufGather':
        return [];
      case 'MatMul':
      case 'MatMulNBits':
      case 'GgufMatMul':
      case 'Gemm':
      case 'Reshape':
      case 'RotaryEmbedding':
      case 'Split':
      case 'Slice':
        return [input[0] ?? ''];
      case 'GroupQueryAttention':
        return input.slice(0, 3).filter((name) => name !== '');
      default:
        return input.filter((name) => name !== '' && this.#constants.find(name) === undefined);
    }
  }

  #openInput(): View {
    this.#input ??= this.#newSlot(this.#graph.hiddenSize, false);
    return whole(this.#input);
  }

  #newSlot(width: number, isWanted: boolean): Slot {
    const slot = { id: this.#slots.length, width, isWanted };
    this.#slots.push(slot);
    return slot;
  }

  #remember(value: string, view: View): View {
    if (value !== '') this.#views.set(value, view);
    return view;
  }

  /** The rows of an input that must be some. */
  #rows(node: NodeProto, value: string): View {
    const view = this.#views.get(value);
    if (view === undefined) throw new NotPlanned(node, 'takes rows from a constant');
    return view;
  }

  #add(value: string, step: Step): void {
    this.#steps.push(step);
    this.#remember(value, whole(step.to));
  }

  #make(node: NodeProto): void {
    const { opType } = node;
    const [first = ''] = node.input;
    const [output = ''] = node.output;
    if (PASSING.has(opType)) {
      this.#remember(output, this.#passed(node));
      return;
    }
    if (opType !== 'SimplifiedLayerNormalization' && this.#rowInputs(node).some((input) => this.#parts.has(input))) {
      throw new NotPlanned(node, 'reads rows that are reshaped into parts');
    }
    switch (opType) {
      case 'Gather':
        return this.#gather(node);
      case 'GatherBlockQuantized':
      case 'GgufGather': {
        const table = this.#packed(node);
        return this.#lookUp(node, table, table.weight.rows, table.weight.columns);
      }
      case 'MatMulNBits':
      case 'GgufMatMul': {
        const matrix = this.#packed(node);
        return this.#product(node, matrix, matrix.weight.rows, matrix.weight.columns);
      }
      case 'MatMul':
      case 'Gemm':
        return this.#plainProduct(node);
      case 'SimplifiedLayerNormalization':
        return this.#normRows(node);
      case 'SkipSimplifiedLayerNormalization':
        return this.#skipNorm(node);
      case 'RotaryEmbedding':
        return this.#rotate(node);
      case 'GroupQueryAttention':
        return this.#attend(node);
      case 'Split':
        return this.#split(node);
    }
    const unary = unaryOf(node);
    if (unary !== null) return this.#unary(node, unary, first);
    const binary = BINARY.get(opType);
    if (binary !== undefined) return this.#binary(node, binary);
    throw new NotPlanned(node, `the operator ${opType} is not one of the engine's`);
  }

  #packed(node: NodeProto): Exclude<MatrixSource, { kind: 'plain' }> {
    if (isGgufNode(node)) return { kind: 'gguf', weight: ggufWeight(node, this.#find) };
    return { kind: 'quantized', weight: quantizedWeight(node, this.#find) };
  }

  /** Rows as they are, cut into heads or joined again: a reshape that leaves each position's numbers together. */
  #passed(node: NodeProto): View {
    const [input = '', shape = ''] = node.input;
    const [output = ''] = node.output;
    const view = this.#rows(node, input);
    if (node.opType !== 'Reshape') {
      if (node.opType === 'Cast' && !castsToFloat(node)) throw new NotPlanned(node, 'makes rows of other numbers');
      if (this.#parts.has(input)) this.#parts.set(output, this.#parts.get(input)!);
      return view;
    }
    const part = partOf(node, this.#constants.integers(shape) ?? [], view.width);
    if (part !== view.width) this.#parts.set(output, part);
    return view;
  }

  #gather(node: NodeProto): void {
    const [table = '', ids = ''] = node.input;
    const isTable = this.#isTable(node);
    if (intAttribute(node, 'axis', 0) !== (isTable ? 0 : 1)) throw new NotPlanned(node, 'gathers along another axis');
    if (!isTable) {
      if (ids !== this.#graph.io.logitsIndex) throw new NotPlanned(node, 'gathers rows by other indices');
      const from = this.#positioned(node, table);
      return this.#add(node.output[0]!, { type: 'select', from, to: this.#newSlot(from.width, true) });
    }
    const tensor = this.#constants.weight(table)!;
    const [rows, columns] = this.#matrixDims(node, tensor);
    this.#lookUp(node, { kind: 'plain', tensor, isTurned: false }, rows, columns);
  }

  /** Rows of all positions of a run. Of the wanted ones alone, a row's position is not known. */
  #positioned(node: NodeProto, value: string): View {
    const view = this.#rows(node, value);
    if (view.slot.isWanted) throw new NotPlanned(node, 'needs the rows of all positions');
    return view;
  }

  #isTable(node: NodeProto): boolean {
    return this.#constants.weight(node.input[0] ?? '') !== undefined && node.input[1] === this.#graph.io.tokens;
  }

  #lookUp(node: NodeProto, table: MatrixSource, rows: number, width: number): void {
    if (node.input[1] !== this.#graph.io.tokens) throw new NotPlanned(node, 'looks up by other indices than tokens');
    const { vocabularySize } = this.#graph;
    if (rows < vocabularySize) throw new NotPlanned(node, `its table has ${rows} rows for ${vocabularySize} tokens`);
    this.#checkWidth(node, width, table);
    this.#add(node.output[0]!, { type: 'gather', table, to: this.#newSlot(width, false) });
  }

  #product(node: NodeProto, matrix: MatrixSource, rows: number, columns: number): void {
    const from = this.#rows(node, node.input[0] ?? '');
    if (from.width !== columns) throw new NotPlanned(node, `multiplies rows of ${from.width} with ${columns} columns`);
    this.#checkWidth(node, columns, matrix);
    this.#add(node.output[0]!, { type: 'product', matrix, from, to: this.#newSlot(rows, from.slot.isWanted) });
  }

  #checkWidth(node: NodeProto, columns: number, matrix: MatrixSource): void {
    const unit = matrix.kind === 'plain' ? 4 : BLOCK_COLUMNS;
    if (columns % unit !== 0) throw new NotPlanned(node, `${columns} columns are not in blocks of ${unit}`);
  }

  #plainProduct(node: NodeProto): void {
    const turned = this.#makers.get(node.input[1] ?? '');
    const isTransposed = turned !== undefined && swapsAxes(turned);
    const tensor = this.#constants.matrix(isTransposed ? (turned.input[0] ?? '') : (node.input[1] ?? ''));
    if (tensor === undefined) throw new NotPlanned(node, 'multiplies rows with each other');
    const isGemm = node.opType === 'Gemm';
    const isScaled = floatAttribute(node, 'alpha', 1) !== 1 || floatAttribute(node, 'beta', 1) !== 1;
    if (isGemm && (intAttribute(node, 'transA', 0) !== 0 || isScaled)) {
      throw new NotPlanned(node, 'a Gemm with a turned first factor, or a scaled one');
    }
    const [first, second] = this.#matrixDims(node, tensor);
    const isByRows = isTransposed !== (isGemm && intAttribute(node, 'transB', 0) === 1);
    const [rows, columns] = isByRows ? [first, second] : [second, first];
    const matrix: MatrixSource = { kind: 'plain', tensor, isTurned: !isByRows };
    const bias = isGemm ? node.input[2] : undefined;
    this.#product(node, matrix, rows, columns);
    if (bias) this.#join(node, 'add', this.#views.get(node.output[0]!)!, bias);
  }

  #matrixDims(node: NodeProto, tensor: TensorProto): [number, number] {
    const dims = tensorDims(tensor);
    const isMatrix = dims.length === 2 && dims.every((dim) => dim > 0);
    if (!isMatrix || !isFloat(tensor.dataType)) throw new NotPlanned(node, 'its weight is not a matrix of floats');
    return dims as [number, number];
  }

  /** Normalizes rows, or each part of rows that are reshaped into parts. */
  #normRows(node: NodeProto): void {
    const [input = '', gamma = ''] = node.input;
    const [output = ''] = node.output;
    const view = this.#rows(node, input);
    const part = this.#parts.get(input);
    if (intAttribute(node, 'axis', -1) !== -1) throw new NotPlanned(node, 'normalizes another axis than the last');
    this.#norm(node, view, gamma, part ?? view.width);
    if (part !== undefined) this.#parts.set(output, part);
  }

  #norm(node: NodeProto, from: View, gamma: string, size: number): void {
    const tensor = this.#constants.find(gamma);
    if (tensor === undefined || !isFloat(tensor.dataType) || elementCount(tensor) !== size || size % 4 !== 0) {
      throw new NotPlanned(node, 'normalizes rows in parts of another size');
    }
    const epsilon = floatAttribute(node, 'epsilon', node.opType.startsWith('Skip') ? 1e-12 : 1e-5);
    const to = this.#newSlot(from.width, from.slot.isWanted);
    this.#add(node.output[0]!, { type: 'norm', from, gamma: { tensor }, size, epsilon, to });
  }

  #skipNorm(node: NodeProto): void {
    const [a = '', b = '', gamma = '', bias = ''] = node.input;
    if (bias !== '' || node.output[1] || node.output[2]) throw new NotPlanned(node, 'a skip norm with a bias');
    const [left, right] = [this.#rows(node, a), this.#rows(node, b)];
    this.#checkAlike(node, left, right);
    const to = this.#newSlot(left.width, left.slot.isWanted);
    // The sum has a name where something else reads it.
    this.#add(node.output[3] ?? '', { type: 'binary', operation: 'add', left, right, to });
    this.#norm(node, whole(to), gamma, to.width);
  }

  #unary(node: NodeProto, operation: UnaryOperation, from: string): void {
    const view = this.#rows(node, from);
    this.#checkFours(node, view);
    const to = this.#newSlot(view.width, view.slot.isWanted);
    this.#add(node.output[0]!, { type: 'unary', operation, from: view, to });
  }

  #binary(node: NodeProto, operation: BinaryOperation): void {
    const [a = '', b = ''] = node.input;
    if (operation === 'multiply' && (this.#silu(node, a, b) || this.#silu(node, b, a))) return;
    const left = this.#views.get(a);
    if (left !== undefined) return this.#join(node, operation, left, b);
    const right = this.#views.get(b);
    if (right === undefined || operation === 'subtract' || operation === 'divide') {
      throw new NotPlanned(node, 'takes rows from a constant');
    }
    this.#join(node, operation, right, a);
  }

  /** x × sigmoid(x), where nothing else reads the sigmoid: made in one step in its place. */
  #silu(node: NodeProto, of: string, sigmoid: string): boolean {
    const maker = this.#makers.get(sigmoid);
    if (maker?.opType !== 'Sigmoid' || maker.input[0] !== of) return false;
    if (this.#readers.get(sigmoid) !== 1 || sigmoid === this.#graph.io.output) return false;
    const at = this.#steps.findLastIndex((step) => step.to === this.#views.get(sigmoid)?.slot);
    const step = this.#steps[at];
    if (step?.type !== 'unary' || step.operation !== 'sigmoid') return false;
    this.#steps[at] = { ...step, operation: 'silu' };
    this.#remember(node.output[0]!, whole(step.to));
    return true;
  }

  #join(node: NodeProto, operation: BinaryOperation, left: View, other: string): void {
    this.#checkFours(node, left);
    const to = this.#newSlot(left.width, left.slot.isWanted);
    const right = this.#views.get(other);
    if (right !== undefined) {
      this.#checkAlike(node, left, right);
      return this.#add(node.output[0]!, { type: 'binary', operation, left, right, to });
    }
    const tensor = this.#constants.find(other);
    const count = tensor === undefined ? 0 : elementCount(tensor);
    const isRow = tensor !== undefined && count === left.width && tensorDims(tensor).at(-1) === count;
    if (tensor === undefined || !isFloat(tensor.dataType) || (count !== 1 && !isRow)) {
      throw new NotPlanned(node, 'a constant that is neither one number nor a row');
    }
    this.#add(node.output[0]!, { type: 'binary', operation, left, right: { tensor }, to });
  }

  #checkAlike(node: NodeProto, left: View, right: View): void {
    if (left.width !== right.width || left.slot.isWanted !== right.slot.isWanted) {
      throw new NotPlanned(node, `joins rows of ${left.width} and ${right.width}`);
    }
    this.#checkFours(node, left);
  }

  #checkFours(node: NodeProto, view: View): void {
    if (view.width % 4 !== 0) throw new NotPlanned(node, `rows of ${view.width} are not in fours`);
  }

  #rotate(node: NodeProto): void {
    const [from = '', positions = '', cosines = '', sines = ''] = node.input;
    const view = this.#positioned(node, from);
    if (positions !== this.#graph.io.positionIds) throw new NotPlanned(node, 'rotates by other positions');
    if (floatAttribute(node, 'scale', 1) !== 1 || intAttribute(node, 'is_packed_batching', 0) !== 0) {
      throw new NotPlanned(node, 'a rotary embedding of another kind');
    }
    const rotary = this.#rotary(node, cosines, sines, intAttribute(node, 'interleaved', 0) === 1);
    const angles = tensorDims(rotary.cosines)[1] ?? 0;
    const rotated = intAttribute(node, 'rotary_embedding_dim', 0);
    const heads = intAttribute(node, 'num_heads', 0) || view.width / (2 * angles);
    const size = view.width / heads;
    // Without a size of their own, turned dimensions are all of a head.
    const isKnown = heads > 0 && Number.isInteger(size) && 2 * angles === (rotated || size) && 2 * angles <= size;
    if (!isKnown) throw new NotPlanned(node, 'rotates heads of another size');
    this.#add(node.output[0]!, {
      type: 'rotate',
      from: view,
      heads,
      rotary,
      to: this.#newSlot(view.width, view.slot.isWanted),
    });
  }

  #rotary(node: NodeProto, cosines: string, sines: string, isInterleaved: boolean): Rotary {
    const [cosine, sine] = [this.#constants.weight(cosines), this.#constants.weight(sines)];
    if (cosine === undefined || sine === undefined) throw new NotPlanned(node, 'its angles are not constant');
    const isTable = tensorDims(cosine).length === 2 && isFloat(cosine.dataType) && isFloat(sine.dataType);
    if (!isTable || tensorDims(cosine).join() !== tensorDims(sine).join()) {
      throw new NotPlanned(node, 'its angles are not two tables of one size');
    }
    return { cosines: cosine, sines: sine, isInterleaved };
  }

  #attend(node: NodeProto): void {
    const [query = '', key = '', value = '', pastKey = ''] = node.input;
    const { heads, kvHeads, softcap, isTurning } = attentionOf(node);
    const layer = this.#graph.io.past.findIndex((past) => past.key === pastKey);
    const all = this.#positioned(node, query);
    const isPacked = key === '' && value === '';
    const headSize = all.width / (isPacked ? heads + 2 * kvHeads : heads);
    if (layer === -1 || !Number.isInteger(headSize) || headSize < 4 || headSize % 4 !== 0) {
      throw new NotPlanned(node, 'its heads are not in fours');
    }
    const part = (from: number, count: number): View => ({
      slot: all.slot,
      offset: all.offset + from * headSize,
      width: count * headSize,
    });
    const known = this.#heads;
    if (known !== null && (known.kvHeads !== kvHeads || known.headSize !== headSize)) {
      throw new NotPlanned(node, 'layers differ in their heads');
    }
    this.#heads = { kvHeads, headSize };
    const [k, v] = isPacked
      ? [part(heads, kvHeads), part(heads + kvHeads, kvHeads)]
      : [this.#positioned(node, key), this.#positioned(node, value)];
    if (k.width !== kvHeads * headSize || v.width !== k.width) throw new NotPlanned(node, 'its keys have another size');
    const scale = floatAttribute(node, 'scale', 0);
    const attention: Attention = {
      layer,
      query: part(0, heads),
      key: k,
      value: v,
      heads,
      kvHeads,
      headSize,
      scale: scale === 0 ? 1 / Math.sqrt(headSize) : scale,
      softcap,
      rotary: isTurning ? this.#attentionRotary(node, headSize) : null,
    };
    // Queries and keys are turned where they lie.
    if (attention.rotary !== null) this.#turning.push({ node, index: this.#steps.length, attention });
    this.#layers += 1;
    this.#add(node.output[0]!, { type: 'attention', ...attention, to: this.#newSlot(heads * headSize, false) });
  }

  #attentionRotary(node: NodeProto, headSize: number): Rotary {
    const [cosines = '', sines = ''] = node.input.slice(7);
    const rotary = this.#rotary(node, cosines, sines, intAttribute(node, 'rotary_interleaved', 0) === 1);
    const [, angles = 0] = tensorDims(rotary.cosines);
    if (2 * angles > headSize) throw new NotPlanned(node, `turns ${2 * angles} dimensions of heads of ${headSize}`);
    return rotary;
  }

  /** Parts of rows side by side. */
  #split(node: NodeProto): void {
    const view = this.#rows(node, node.input[0] ?? '');
    const axis = intAttribute(node, 'axis', 0);
    const sizes = this.#constants.integers(node.input[1] ?? '');
    if ((axis !== -1 && axis !== 2) || sizes === null) throw new NotPlanned(node, 'splits rows in another way');
    let offset = view.offset;
    for (const [i, width] of sizes.entries()) {
      if (width < 4 || width % 4 !== 0) throw new NotPlanned(node, `a part of ${width} is not in fours`);
      this.#remember(node.output[i] ?? '', { slot: view.slot, offset, width });
      offset += width;
    }
    if (offset !== view.offset + view.width) throw new NotPlanned(node, 'its parts do not make up the rows');
  }
}
