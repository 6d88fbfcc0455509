export const ENGINE_CLASS = 'int16/61e0075c4c7cfec6';
export const RUNTIME_CLASS = 'wasm';
