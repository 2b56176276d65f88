export const formatNames = ['parquet', 'csv', 'jsonl'] as const
export type FormatName = (typeof formatNames)[number]
