"""Every function of MiniStack, moto and Hypercorn that this package replaces, adds or serialises.

These functions are private and can change in any release, so `zama-emulator` accepts only the
versions that pyproject.toml pins.
"""

import http.client
import threading

from hypercorn.protocol.h11 import H11Protocol
from ministack import app
from ministack.core import iam_evaluator
from ministack.services import alb, cloudwatch_logs, ssm, sts
from ministack.services import cloudwatch as ministack_cloudwatch
from ministack.services import ecs as ministack_ecs
from ministack.services import iam as ministack_iam
from ministack.services import waf as ministack_waf
from moto.amp import urls as prometheus_urls
from moto.amp.responses import PrometheusServiceResponse
from moto.applicationautoscaling.models import ApplicationAutoscalingBackend
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.codedeploy import responses as codedeploy_responses
from moto.codedeploy.models import CodeDeployBackend
from moto.codedeploy.responses import CodeDeployResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler

from zama_emulator import (
    alarms,
    cloudwatch,
    codedeploy,
    ecs,
    iam,
    load_balancer,
    logs,
    moto_services,
    permissions,
    rolling,
    rules,
    strict,
    task_sets,
    traffic,
    transport,
    waf,
)
from zama_emulator.patching import add, add_actions, answer_in_turn, replace


def correct() -> None:
    """Apply all corrections and start the load balancers' health checks."""
    rules.load()
    _correct_ministack()
    _correct_moto()
    replace(H11Protocol, "_send_h11_event", transport.head_with_body)
    # Flushed at the end of each answer. An answer over this size would still send its head first.
    MotoRequestHandler.wbufsize = 2**20
    threading.Thread(
        target=load_balancer.check_targets, daemon=True, name="zama-health-checks"
    ).start()


def _correct_ministack() -> None:
    replace(alb, "set_targets_for_group", load_balancer.register)
    replace(alb, "_describe_target_health", load_balancer.describe_target_health)
    replace(alb, "_forward_to_tg", load_balancer.forward_to_healthy)
    replace(alb, "_parse_actions", load_balancer.parse_weights)
    replace(alb, "_action_xml", load_balancer.weights_xml)
    replace(alb, "_execute_action", load_balancer.choose_by_weight)
    replace(alb, "find_lb_for_host", load_balancer.only_load_balancer)
    replace(alb, "dispatch_request", traffic.dispatch)
    replace(alb, "_proxy_http_target", traffic.proxy)
    replace(http.client.HTTPConnection, "getresponse", traffic.response)
    replace(alb, "_describe_tgs", traffic.describe_groups)
    replace(app, "_is_potential_alb_request", load_balancer.is_for_load_balancer)

    replace(ministack_cloudwatch, "_evict_old_metrics", cloudwatch.evict_each_hour)
    replace(ministack_cloudwatch, "_put_metric_alarm", cloudwatch.put_metric_alarm)
    replace(ministack_cloudwatch, "_describe_alarms", cloudwatch.describe_alarms)
    replace(ministack_cloudwatch, "_get_metric_data", cloudwatch.get_metric_data)
    replace(ministack_cloudwatch, "_evaluate_alarm", alarms.only_each_minute)
    replace(ministack_cloudwatch, "_stat_value", cloudwatch.stat_value)
    replace(ministack_cloudwatch, "_put_composite_alarm", cloudwatch.put_composite_alarm)
    replace(ministack_cloudwatch, "_dispatch_alarm_actions", cloudwatch.dispatch_alarm_actions)

    replace(ssm, "resolve_parameter_value", ecs.plaintext)
    replace(ministack_ecs, "_deployment_needs_first_task", ecs.no_registry)
    replace(ministack_ecs, "_prepare_service_images", ecs.no_registry)
    replace(ministack_ecs, "_build_run_kwargs", ecs.container_options)
    replace(ministack_ecs, "_run_docker_container", ecs.after_dependencies)
    replace(ministack_ecs, "_create_service", ecs.create_service)
    replace(ministack_ecs, "_make_deployment", ecs.deployment_in_progress)
    replace(ministack_ecs, "_make_deployment", rolling.remember_alarms)
    replace(ministack_ecs, "_complete_service_deployment", rolling.complete)
    replace(ministack_ecs, "_reconcile_service_tasks", ecs.keep_the_healthy)
    replace(ministack_ecs, "_reconcile_service_tasks", task_sets.reconcile)
    replace(ministack_ecs, "_sync_service_targets", task_sets.publish_targets)
    replace(ministack_ecs, "_record_service_task_failure", task_sets.replace_failed)
    replace(ministack_ecs, "_schedule_service_deployment_completion", ecs.complete_once_healthy)
    replace(ministack_ecs, "_watch_task_lifecycle", ecs.watch)
    replace(ministack_ecs, "_refresh_service_state", ecs.forget_failed_deployments)
    replace(ministack_ecs, "_refresh_service_state", task_sets.refresh)
    replace(ministack_ecs, "_cleanup_task_resources", ecs.stop_gracefully)

    replace(ministack_iam, "_simulate_principal_policy", iam.with_entries)
    replace(ministack_iam, "_simulate_custom_policy", iam.with_entries)
    replace(iam_evaluator, "_resolve_condition_key", iam.value)
    replace(sts, "handle_request", permissions.web_identity)

    replace(cloudwatch_logs, "_start_query", logs.start_query)
    replace(cloudwatch_logs, "_put_log_events", logs.put_log_events)
    replace(cloudwatch_logs, "_put_metric_filter", logs.put_metric_filter)
    add_actions(
        cloudwatch_logs,
        {
            "AssociateKmsKey": logs.associate_key,
            "DisassociateKmsKey": logs.associate_key,
            "PutQueryDefinition": logs.put,
            "DescribeQueryDefinitions": logs.describe,
            "DeleteQueryDefinition": logs.delete,
        },
    )
    # A separate thread delivers each container's lines.
    answer_in_turn(
        cloudwatch_logs,
        "_create_log_group",
        "_create_log_stream",
        "_delete_log_group",
        "_delete_log_stream",
        "_describe_log_groups",
        "_describe_log_streams",
        "_put_log_events",
        "_get_log_events",
        "_filter_log_events",
        "_start_query",
    )

    replace(ministack_waf, "_create_web_acl", waf.with_bodies)
    replace(ministack_waf, "_update_web_acl", waf.with_bodies)
    add_actions(
        ministack_waf,
        {
            "PutLoggingConfiguration": waf.put,
            "GetLoggingConfiguration": waf.get,
            "DeleteLoggingConfiguration": waf.delete,
        },
    )


def _correct_moto() -> None:
    replace(DomainDispatcherApplication, "__call__", strict.wsgi)
    # Each request has a thread.
    answer_in_turn(DomainDispatcherApplication, "__call__")
    # The service is in MiniStack's ECS, which moto does not know.
    replace(ApplicationAutoscalingBackend, "_ecs_service_exists_for_target", lambda *_: True)
    replace(
        ApplicationAutoScalingResponse, "register_scalable_target", moto_services.register_with_tags
    )
    add(ApplicationAutoScalingResponse, "list_tags_for_resource", moto_services.list_scaling_tags)
    add(ApplicationAutoScalingResponse, "tag_resource", moto_services.tag_scaling)
    add(ApplicationAutoScalingResponse, "untag_resource", moto_services.untag_scaling)
    replace(PrometheusServiceResponse, "create_workspace", moto_services.create_with_key)
    replace(PrometheusServiceResponse, "describe_workspace", moto_services.describe_with_key)
    path = "{0}/workspaces/(?P<workspace_id>[^/]+)/alertmanager/definition$"
    prometheus_urls.url_paths[path] = PrometheusServiceResponse.dispatch
    for action, method in {
        "create": moto_services.put_alert_manager,
        "put": moto_services.put_alert_manager,
        "describe": moto_services.describe_alert_manager,
        "delete": moto_services.delete_alert_manager,
    }.items():
        add(PrometheusServiceResponse, f"{action}_alert_manager_definition", method)
    replace(CodeDeployBackend, "create_deployment", codedeploy.create)
    replace(codedeploy_responses, "_deployment_info", codedeploy.info)
    replace(codedeploy_responses, "_deployment_group_info", moto_services.group_with_alarms)
    for operation in (
        codedeploy.stop_deployment,
        codedeploy.continue_deployment,
        codedeploy.list_deployment_targets,
        codedeploy.get_deployment_target,
        codedeploy.batch_get_deployment_targets,
        codedeploy.put_lifecycle_event_hook_execution_status,
    ):
        add(CodeDeployResponse, operation.__name__, operation)
    add(CodeDeployResponse, "update_deployment_group", moto_services.update_deployment_group)
    add(CodeDeployResponse, "delete_application", moto_services.delete_application)
    add(CodeDeployResponse, "delete_deployment_group", moto_services.delete_deployment_group)
