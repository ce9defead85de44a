"""The settings that libvirt's configuration files know, and of what type each is. Data.

From the Augeas lenses that libvirt 11.3 ships (libvirtd_qemu.aug, libvirtd.aug), which name every setting of its
versions until then, those of older ones included. A name that stands in no list may be one of a newer libvirt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Kind = Literal["switch", "number", "string", "list", "any"]


def _keys(**names: str) -> Mapping[str, Kind]:
    kinds: dict[str, Kind] = {
        "switches": "switch",
        "numbers": "number",
        "strings": "string",
        "lists": "list",
        "any": "any",
    }
    return {name: kinds[kind] for kind, words in names.items() for name in words.split()}


QEMU_CONF = _keys(
    switches="""
        allow_disk_format_probing auto_dump_bypass_cache auto_save_bypass_cache auto_shutdown_restore
        auto_start_bypass_cache backup_tls_force backup_tls_x509_verify chardev_tls chardev_tls_x509_verify
        clear_emulator_capabilities default_tls_x509_verify dump_guest_core dynamic_ownership log_timestamp
        mac_filter migrate_tls_force migrate_tls_x509_verify nbd_tls nographics_allow_host_audio relaxed_acs_check
        remember_owner security_default_confined security_require_confined set_process_name spice_auto_unix_socket
        spice_sasl spice_tls storage_use_nbdkit virtiofsd_debug vnc_allow_host_audio vnc_auto_unix_socket vnc_sasl
        vnc_tls vnc_tls_x509_verify vxhs_tls""",
    numbers="""
        auto_shutdown_wait auto_start_delay gluster_debug_level keepalive_count keepalive_interval max_files
        max_processes max_queued max_threads_per_process migration_port_max migration_port_min
        remote_display_port_max remote_display_port_min remote_websocket_port_max remote_websocket_port_min
        seccomp_sandbox""",
    strings="""
        auto_dump_path auto_shutdown_poweroff auto_shutdown_try_save auto_shutdown_try_shutdown
        backup_tls_priority backup_tls_x509_cert_dir backup_tls_x509_secret_uuid bridge_helper chardev_tls_priority
        chardev_tls_x509_cert_dir chardev_tls_x509_secret_uuid dbus_daemon default_tls_priority
        default_tls_x509_cert_dir default_tls_x509_secret_uuid deprecation_behavior dump_image_format group
        hugetlbfs_mount lock_manager memory_backing_dir migrate_tls_priority migrate_tls_x509_cert_dir
        migrate_tls_x509_secret_uuid migration_address migration_host nbd_tls_priority nbd_tls_x509_cert_dir
        nbd_tls_x509_secret_uuid pr_helper qemu_rdp rdp_listen rdp_password rdp_tls_x509_cert_dir rdp_username
        save_image_format sched_core security_driver slirp_helper snapshot_image_format spice_listen spice_password
        spice_sasl_dir spice_tls_x509_cert_dir stdio_handler swtpm_group swtpm_user user vnc_listen vnc_password
        vnc_sasl_dir vnc_tls_priority vnc_tls_x509_cert_dir vnc_tls_x509_secret_uuid vxhs_tls_x509_cert_dir
        vxhs_tls_x509_secret_uuid""",
    lists="capability_filters cgroup_controllers cgroup_device_acl namespaces nvram shared_filesystems",
    # Each of these may be of two types.
    any="max_core hugetlbfs_mount security_driver",
)
"""Settings of /etc/libvirt/qemu.conf."""

DAEMON_CONF = _keys(
    switches="""
        admin_keepalive_required audit_logging keepalive_required listen_tcp listen_tls tls_no_sanity_certificate
        tls_no_verify_certificate""",
    numbers="""
        admin_keepalive_count admin_keepalive_interval admin_max_client_requests admin_max_clients
        admin_max_queued_clients admin_max_workers admin_min_workers audit_level keepalive_count keepalive_interval
        log_buffer_size log_level max_anonymous_clients max_client_requests max_clients max_queued_clients
        max_workers min_workers ovs_timeout prio_workers tcp_min_ssf""",
    strings="""
        auth_tcp auth_tls auth_unix_ro auth_unix_rw ca_file cert_file crl_file host_uuid host_uuid_source key_file
        listen_addr log_filters log_outputs mdns_name tcp_port tls_port tls_priority unix_sock_admin_perms
        unix_sock_dir unix_sock_group unix_sock_ro_perms unix_sock_rw_perms""",
    lists="access_drivers sasl_allowed_username_list tls_allowed_dn_list",
    any="mdns_adv",
)
"""Settings of libvirtd.conf, virtqemud.conf and virtproxyd.conf."""
