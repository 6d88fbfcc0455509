import type { NodeProto, TensorProto, ValueInfoProto } from 'onnx-buf';
import { ChorusError } from '../errors.ts';
import type { OnnxModel } from './onnx-file.ts';
import { describeNode, operatorSupport } from './operators.ts';

/** Values and nodes that cutting adds are named `chorus/...`; no model may use such names. */
export const RESERVED_PREFIX = 'chorus/';

/** A graph looked up by value name. Names come from outside, so they are only ever keys of maps. */
export interface GraphIndex {
  readonly model: OnnxModel;
  readonly inputs: ReadonlyMap<string, ValueInfoProto>;
  readonly outputs: ReadonlyMap<string, ValueInfoProto>;
  readonly initializers: ReadonlyMap<string, TensorProto>;
  readonly producers: ReadonlyMap<string, NodeProto>;
}

/**
 * Indexes a graph. Throws `bad-model` where a value is made twice, or never, or (a cycle) only from itself, and
 * `unsupported-model` for operators, subgraphs and functions that are not understood.
 */
export function indexGraph(model: OnnxModel): GraphIndex {
  const { graph } = model;
  if (model.functions.length > 0) throw new ChorusError('unsupported-model', 'the model defines functions of its own');
  if (graph.sparseInitializer.length > 0) throw new ChorusError('unsupported-model', 'the model has sparse weights');
  if (graph.quantizationAnnotation.length > 0) {
    throw new ChorusError('unsupported-model', 'the model has quantization annotations');
  }

  const initializers = byName(graph.initializer, 'weight');
  // Files of IR version 3 repeat every weight as an input.
  const inputs = byName(
    graph.input.filter((input) => !initializers.has(input.name)),
    'input',
  );
  const outputs = byName(graph.output, 'output');
  const producers = new Map<string, NodeProto>();
  for (const node of graph.node) {
    operatorSupport(node);
    for (const attribute of node.attribute) {
      if (attribute.g !== undefined || attribute.graphs.length > 0 || attribute.refAttrName !== '') {
        throw new ChorusError('unsupported-model', `${describeNode(node)}: subgraphs are not supported`);
      }
    }
    for (const output of node.output) {
      if (output === '') continue;
      checkName(output);
      if (producers.has(output) || inputs.has(output) || initializers.has(output)) {
        throw new ChorusError('bad-model', `${describeNode(node)}: the value ${output.slice(0, 200)} is made twice`);
      }
      producers.set(output, node);
    }
  }
  const index = { model, inputs, outputs, initializers, producers };
  sortNodes(index, [...outputs.keys(), ...producers.keys()]);
  return index;
}

/**
 * The nodes that `wanted` values are made from, each after those it reads. `make` may name another maker for a value.
 * Throws `bad-model` on cycles and on values that nothing makes.
 */
export function sortNodes(
  index: GraphIndex,
  wanted: Iterable<string>,
  make: (value: string) => NodeProto | undefined = (value) => index.producers.get(value),
): NodeProto[] {
  const sorted: NodeProto[] = [];
  const state = new Map<NodeProto, 'open' | 'done'>();
  const given = (value: string) => value === '' || index.inputs.has(value) || index.initializers.has(value);
  const visit = (value: string): void => {
    const stack: { node: NodeProto; next: number }[] = [];
    const enter = (name: string): void => {
      const node = make(name);
      if (node === undefined) {
        if (given(name)) return;
        throw new ChorusError('bad-model', `nothing makes the value ${name.slice(0, 200)}`);
      }
      const seen = state.get(node);
      if (seen === 'open') throw new ChorusError('bad-model', `${describeNode(node)}: depends on its own output`);
      if (seen === 'done') return;
      state.set(node, 'open');
      stack.push({ node, next: 0 });
    };
    enter(value);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const input = top.node.input[top.next++];
      if (input === undefined) {
        state.set(top.node, 'done');
        sorted.push(top.node);
        stack.pop();
      } else if (input !== '') {
        enter(input);
      }
    }
  };
  for (const value of wanted) visit(value);
  return sorted;
}

function byName<T extends { name: string }>(items: readonly T[], kind: string): Map<string, T> {
  const map = new Map<string, T>();
  for (const item of items) {
    checkName(item.name);
    if (map.has(item.name)) throw new ChorusError('bad-model', `the ${kind} ${item.name.slice(0, 200)} is there twice`);
    map.set(item.name, item);
  }
  return map;
}

function checkName(name: string): void {
  if (name === '' || name.length > 512) throw new ChorusError('bad-model', 'a value has no name or a very long one');
  if (name.startsWith(RESERVED_PREFIX))
    throw new ChorusError('bad-model', `the name ${name.slice(0, 200)} is reserved`);
}
