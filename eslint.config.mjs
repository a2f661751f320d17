import tseslint from 'typescript-eslint';

/** Bare words that STYLE gives no meaning to; a library's own name is renamed at the border. */
const deniedNames = ['token', 'tokens', 'user', 'provider', 'data', 'info', 'manager', 'helper', 'util'];

/** Imports go one way: core <- stages <- pipeline <- endpoints/server; the three servers never import each other. */
const noImport = (...folders) => ({
  'no-restricted-imports': [
    'error',
    {
      patterns: folders.map((folder) => ({
        group: [`**/${folder}/**`],
        message: `may not import ${folder}/`,
      })),
    },
  ],
});

export default tseslint.config(
  { ignores: ['dist/', 'data/', 'node_modules/', 'coverage/', '**/*.mjs', '**/*.js', 'examples/'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      'id-denylist': ['error', ...deniedNames],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportDefaultDeclaration', message: 'Named exports only (STYLE).' },
      ],
      complexity: ['error', 15],
      'max-depth': ['error', 4],
      'max-params': ['error', 4],
    },
  },
  // The YAML keys of the configuration are the operator's words, `data` among them.
  {
    files: ['*/config.ts'],
    rules: { 'id-denylist': ['error', ...deniedNames.filter((name) => name !== 'data')] },
  },
  {
    files: ['core/**', 'gateway/**', 'identity/**', 'model-server/**', 'cli/**'],
    ignores: ['core/node-http.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportDefaultDeclaration', message: 'Named exports only (STYLE).' },
        {
          selector: 'ImportDeclaration[importKind="value"][source.value="node:http"]',
          message: 'Loads undici with it: values come from core/node-http.ts.',
        },
      ],
    },
  },
  { files: ['core/**'], rules: noImport('gateway', 'identity', 'model-server', 'cli') },
  { files: ['gateway/**'], rules: noImport('identity', 'model-server', 'cli') },
  { files: ['identity/**'], rules: noImport('gateway', 'model-server', 'cli') },
  { files: ['model-server/**'], rules: noImport('gateway', 'identity', 'cli') },
  {
    files: ['tests/**', 'bench/**'],
    rules: {
      '@typescript-eslint/no-floating-promises': 'off', // node:test's describe/it return promises by design.
      '@typescript-eslint/no-unsafe-assignment': 'off', // Parsed JSON of answers is asserted, not typed.
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/require-await': 'off',
      'max-params': 'off',
      'id-denylist': 'off',
      complexity: 'off',
    },
  },
);
