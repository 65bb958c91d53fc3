"""The JSON bodies: the shapes are Strava's, the wording is our own."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from simulators.strava.accounts import Account, Activity

Json = dict[str, Any]
RUNS = {"Run", "TrailRun", "VirtualRun"}


def error(message: str, resource: str, field: str, code: str) -> Json:
    """An error as the API words it."""
    return {
        "message": message,
        "errors": [{"resource": resource, "field": field, "code": code}],
    }


BAD_TOKEN = error("Authorization Error", "Athlete", "access_token", "invalid")
MISSING_SCOPE = error("Authorization Error", "AccessToken", "activity:read_permission", "missing")
INACTIVE = error("Forbidden", "Application", "Status", "Inactive")
OVER_LIMIT = error("Rate Limit Exceeded", "Application", "overall rate limit", "exceeded")
NOT_FOUND = error("Resource Not Found", "Activity", "id", "invalid")
BAD_CLIENT = error("Bad Request", "Application", "client_id", "invalid")
BAD_SECRET = error("Authorization Error", "Application", "", "invalid")
BAD_REDIRECT = error("Bad Request", "Application", "redirect_uri", "invalid")
BAD_CODE = error("Bad Request", "RequestToken", "code", "invalid")
BAD_REFRESH = error("Bad Request", "RefreshToken", "refresh_token", "invalid")


def athlete(account: Account) -> Json:
    """The summary of an account."""
    return {
        "id": account.id,
        "username": None,
        "resource_state": 2,
        "firstname": account.firstname,
        "lastname": account.lastname,
        "city": None,
        "state": None,
        "country": None,
        "sex": None,
        "premium": False,
        "summit": False,
        "badge_type_id": 0,
        "friend": None,
        "follower": None,
    }


def row(activity: Activity) -> Json:
    """An activity in the list; the local start is mislabelled as UTC."""
    zone = ZoneInfo(activity.owner.timezone)
    local = activity.shown_at.astimezone(zone)
    return {
        "resource_state": 2,
        "athlete": {"id": activity.owner.id, "resource_state": 1},
        "name": activity.name,
        "distance": round(activity.distance_m, 1),
        "moving_time": activity.moving_s,
        "elapsed_time": activity.elapsed_s,
        "total_elevation_gain": 24.0,
        "type": "Run" if activity.sport_type in RUNS else activity.sport_type,
        "sport_type": activity.sport_type,
        "workout_type": activity.workout_type,
        "device_name": activity.device,
        "id": activity.id,
        "start_date": f"{activity.shown_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "start_date_local": f"{local:%Y-%m-%dT%H:%M:%SZ}",
        "timezone": f"(GMT{_standard_offset(zone, local.year)}) {zone.key}",
        "utc_offset": _seconds(local),
        "location_city": None,
        "location_state": None,
        "location_country": None,
        "achievement_count": 0,
        "kudos_count": 2,
        "comment_count": 0,
        "athlete_count": 1,
        "photo_count": 0,
        "map": {"id": f"a{activity.id}", "summary_polyline": "", "resource_state": 2},
        "trainer": activity.trainer,
        "commute": False,
        "manual": activity.manual,
        "private": activity.visibility == "only_me",
        "visibility": activity.visibility,
        "flagged": False,
        "gear_id": None,
        "start_latlng": [],
        "end_latlng": [],
        "average_speed": round(activity.distance_m / max(activity.moving_s, 1), 3),
        "max_speed": 5.1,
        "has_heartrate": True,
        "average_heartrate": 148.5,
        "max_heartrate": 171.0,
        "heartrate_opt_out": False,
        "display_hide_heartrate_option": True,
        "upload_id": activity.id + 7 if activity.upload else None,
        "upload_id_str": str(activity.id + 7) if activity.upload else None,
        "external_id": activity.upload,
        "from_accepted_tag": False,
        "pr_count": 0,
        "total_photo_count": 0,
        "has_kudoed": False,
        "suffer_score": None,
    } | activity.spoilt


def detail(activity: Activity) -> Json:
    """A single activity: more fields, and a local start without a zone."""
    listed = row(activity)
    return listed | {
        "resource_state": 3,
        "start_date_local": str(listed["start_date_local"]).removesuffix("Z"),
        "description": None,
        "calories": 512.0,
        "laps": [],
        "splits_metric": [],
        "best_efforts": [],
    }


def event(
    *,
    subscription: int,
    owner: int,
    kind: str,
    object_id: int,
    aspect: str,
    at: datetime,
    updates: dict[str, str] | None = None,
) -> Json:
    """The body of a webhook event."""
    return {
        "aspect_type": aspect,
        "event_time": int(at.timestamp()),
        "object_id": object_id,
        "object_type": kind,
        "owner_id": owner,
        "subscription_id": subscription,
        "updates": updates or {},
    }


def _seconds(local: datetime) -> float:
    offset = local.utcoffset()
    return offset.total_seconds() if offset is not None else 0.0


def _standard_offset(zone: ZoneInfo, year: int) -> str:
    """Such as `+01:00`: Strava gives the winter offset all year."""
    digits = f"{datetime(year, 1, 1, tzinfo=zone):%z}"
    return f"{digits[:3]}:{digits[3:]}"
