// A dashboard as Grafana's schema describes it. JSON has no enumerations, and Grafana adds defaults.
import type { AnnotationQuery, Dashboard, FieldColor, FieldConfig, FieldConfigSource, Panel } from "@grafana/schema";
import type * as Stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts";
import type * as Timeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen.d.ts";
import type * as TimeSeries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts";

type Json<T> = unknown extends T ? unknown
  : T extends string ? `${T}`
  : T extends (infer Item)[] ? Json<Item>[]
  : T extends object ? { [Name in keyof T]?: Json<T[Name]> }
  : T;

// The parts that Grafana leaves to the data source.
type Query = { refId: string; expr: string; legendFormat: string };
type Annotation = Json<AnnotationQuery> & { expr: string; titleFormat: string };

type Of<Type, Options, Custom> = Json<Omit<Panel, "type" | "options" | "fieldConfig" | "targets">> & {
  type: Type;
  options?: Json<Options>;
  targets: Query[];
  fieldConfig: {
    defaults: Json<Omit<FieldConfig, "custom" | "links">> & { custom: Json<Custom>; links?: Json<Dashboard["links"]> };
    overrides: (Json<Omit<FieldConfigSource["overrides"][0], "properties">> & {
      properties: { id: "color"; value: Json<FieldColor> }[];
    })[];
  };
};

export type GrafanaDashboard = Json<Omit<Dashboard, "panels" | "annotations">> & {
  annotations: { list: Annotation[] };
  panels: (
    | Of<"stat", Stat.Options, Record<string, never>>
    | Of<"state-timeline", Timeline.Options, Timeline.FieldConfig>
    | Of<"timeseries", TimeSeries.Options, TimeSeries.FieldConfig>
  )[];
};
